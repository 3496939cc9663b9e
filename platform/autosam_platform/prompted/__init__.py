"""SAM and MedSAM: asked slice by slice about one organ after another, by prompts that come from the label."""
