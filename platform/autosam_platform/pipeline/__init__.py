"""The steps that jobs have in common, and how a job ends."""
