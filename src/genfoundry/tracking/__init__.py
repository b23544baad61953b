"""Everything MLflow: live logs, runs and versions rebuilt from outs and ledger, packaged models."""
