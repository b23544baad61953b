"""Serving: a champion answers requests, from the command line or in MLflow, and scores user files."""
