"""Champions answering requests: from the command line, in MLflow, over a file."""
