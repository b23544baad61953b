"""Ask a task's champion through MLflow: `python ask_champion.py TASK [REQUEST]`, where the pipeline has run.

REQUEST is a row in JSON: {"n": 2} for two samples, {"text": "..."} or {"x": [...]} for a score. MLFLOW_TRACKING_URI
names another server than the repository's own store.
"""

import json
import os
import sys

import mlflow
import pandas as pd

if len(sys.argv) < 2:
    sys.exit("expected python ask_champion.py TASK [REQUEST], got no task")
task, row = sys.argv[1], json.loads(sys.argv[2] if len(sys.argv) > 2 else '{"n": 2}')
mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db")
model = mlflow.pyfunc.load_model(f"models:/{task}@champion")
print(model.predict(pd.DataFrame([row]), params={"seed": 1}).to_json(orient="records"))
