"""docs/metrics.md is what the registry says."""

from __future__ import annotations

from pathlib import Path

from genfoundry.evaluation.metrics import all_metrics
from genfoundry.reporting import metrics_page

ROOT = Path(__file__).parents[2]


def test_the_committed_page_is_up_to_date() -> None:
    committed = (ROOT / metrics_page.PATH).read_text(encoding="utf-8")
    assert committed == metrics_page.format_page(), "run `python -m genfoundry.reporting.metrics_page`"


def test_every_metric_is_on_the_page() -> None:
    page = metrics_page.format_page()
    assert all(f"`{name}`" in page for name in all_metrics())
