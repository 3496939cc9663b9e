"""The suites of jobs/benchmark.py, a module each; imported when they are run, since they need torch."""
