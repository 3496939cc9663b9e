"""Networks that are asked by prompts, slice by slice: SAM as it is published, and MedSAM, which is SAM tuned."""
