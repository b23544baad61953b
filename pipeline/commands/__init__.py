"""What a person or CI calls, `python -m pipeline COMMAND`: no stage of dvc.yaml. May import everything."""
