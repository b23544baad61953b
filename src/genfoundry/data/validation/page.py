"""The page that shows a data set's verdict, self-contained: its content security policy forbids every request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_name("page.html")
STYLE = Path(__file__).parents[2] / "reporting/site/templates/style.css"  # the report's: this page is no output either


def render_page(verdict: Mapping[str, Any], outcomes: Sequence[Any]) -> str:
    """Render a verdict and the outcome of each rule (`great_expectations.Outcome`) as HTML, failed ones first."""
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(verdict=verdict, outcomes=outcomes, style=STYLE.read_text(encoding="utf-8"))
