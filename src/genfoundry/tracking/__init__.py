"""Tracking: everything MLflow, and the measured costs of a run. MLflow is a projection of outputs and ledger."""
