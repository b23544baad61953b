"""`make init`: looking at a user's files and proposing entries of params.yaml."""
