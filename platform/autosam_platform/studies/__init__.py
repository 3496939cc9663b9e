"""A paper's tables and figures as data: which runs they are made of, and the report that these come to."""
