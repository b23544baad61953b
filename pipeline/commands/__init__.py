"""What a person or CI calls, `genfoundry COMMAND` (../cli.py): no stage of dvc.yaml. May import everything."""
