"""Onboarding (`make init`): a user's files are inspected, and entries of params.yaml proposed for them."""
