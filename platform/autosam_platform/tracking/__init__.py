"""Runs on record: written through MLflow, read without it where the record is a file."""
