"""`make ui`: MLflow's store brought up to date from outs and ledger, then its pages."""

import sys
from pathlib import Path

from genfoundry import publish, shell, tracking


def run() -> None:
    publish.publish(Path())
    uri = tracking.uri(Path())
    shell.show(sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--port", "5000", root=Path())
