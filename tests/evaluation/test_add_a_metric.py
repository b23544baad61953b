"""A metric is one file: a new one in a copy of the package is in the columns, on the page and in the card."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = '''"""Root mean squared error of the median forecast."""

import numpy as np

from genfoundry.evaluation.metric import Metric
from genfoundry.evaluation.metrics import forecast_errors
from genfoundry.evaluation.scores import add_groups


def score(outputs, context):
    if "forecast" not in outputs:
        return {}
    gap = outputs["forecast"][:, 1].numpy() - forecast_errors.read_truth(context.split)
    return add_groups({"rmse": np.sqrt((gap**2).mean((1, 2)))}, context.split)


METRICS = (
    Metric(name="rmse", title="RMSE", unit="the series' unit", direction="minimize", description="a new metric",
           requires=forecast_errors.FORECAST, group="forecasts", inputs=("rmse",), modalities=("series",),
           predict=forecast_errors.forecast, score=score),
)
'''
PROGRAM = """
import sys
from pathlib import Path

import fabricated

from genfoundry.files import read_json
from genfoundry.reporting import leaderboard, metrics_page

root = Path(sys.argv[1])
fabricated.prepare(root, 300)
fabricated.train(root, "linear", 2)
reports = root / "reports"
leaderboard.write(reports / "scores", reports / "baselines", reports / "ranking", reports)
card = read_json(reports / "scores" / fabricated.DATA / "linear" / "card.json")
assert card["figures"]["val"]["rmse"] > 0 and card["figures"]["test"]["rmse_low"] < card["figures"]["test"]["rmse"]
assert "rmse" in read_json(reports / "leaderboard.json")["tables"][0]["columns"]
assert "RMSE (the series' unit, lower is better" in (reports / "leaderboard.md").read_text()
assert "| **RMSE** `rmse` |" in metrics_page.format_page()
"""


def test_one_file_adds_a_metric(tmp_path: Path) -> None:
    source = tmp_path / "src/genfoundry"
    shutil.copytree(ROOT / "src/genfoundry", source, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "evaluation/metrics/rmse.py").write_text(FILE)
    environment = {"PYTHONPATH": f"{tmp_path / 'src'}:{ROOT / 'tests'}:{ROOT}", "PATH": "/usr/bin"}
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path / "work")], capture_output=True, text=True,
                          env=environment)  # fmt: skip
    assert done.returncode == 0, done.stderr
