"""Names of MLflow that its documentation does not have, all uses of them. Seen with 3.17 (pyproject: <4).

tests/test_private_names.py holds each to what is relied on here.
"""

from __future__ import annotations

from typing import Any


def post(address: str, endpoint: str, question: dict[str, Any], timeout: float) -> Any:
    """Post one request to an MLflow server with the login that MLflow's clients use; returns the answer of `requests`.

    MlflowClient tries for minutes, and makes one kind of error of a refused login, a sign-in page and a failing server.
    """
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    login = get_default_host_creds(address)  # user and password, or token, from the environment
    return http_request(login, endpoint, "POST", max_retries=0, timeout=timeout, raise_on_status=False, json=question)


def watch_system(run: str, store: str, interval: float) -> Any:
    """A running monitor of this machine that logs to a run; `finish` ends it.

    `mlflow.enable_system_metrics_logging` is for runs of the fluent API, of which a process has one.
    """
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(run, sampling_interval=interval, tracking_uri=store)
    monitor.start()
    return monitor
