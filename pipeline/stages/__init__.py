"""One file a stage of dvc.yaml: `run(unit)` reads what the unit names and writes its outs. Imports science."""
