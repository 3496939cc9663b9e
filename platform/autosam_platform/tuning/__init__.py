"""Sweeps: which runs to make of a space of settings, and what they say when compared."""
