"""docs/metrics.md: every metric with its unit, direction, description and what it requires, from the registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from genfoundry import files
from genfoundry.evaluation.metric import ALL, GROUPS, Metric
from genfoundry.evaluation.metrics import all_metrics, file_of

PATH = Path("docs/metrics.md")
HEAD = """# Metrics

A metric is one file in `src/genfoundry/evaluation/metrics`, found by its name. This page is written by
`python -m genfoundry.reporting.metrics_page` from the records in these files.

A trained model goes through five steps: `predict` asks it for outputs on a split, `score` gives each item a value,
`aggregate` makes metrics with 95% intervals of the values, the `card` collects them with the reason for each that is
absent, and the `board` sets models and reference models side by side. An objective is a metric that a task can be tuned
for and ranked by; metrics marked *test* are measured on `test` alone. An interval is over independent groups of items
(a play, a region, a block; else the item itself).
"""


def format_page() -> str:
    """The page as Markdown."""
    lines = [HEAD]
    for group, (title, description) in GROUPS.items():
        metrics = [metric for metric in all_metrics().values() if metric.group == group]
        if metrics:
            lines += [f"## {title}\n", f"{description}\n", "\n".join(_format_table(metrics)) + "\n"]
    return "\n".join(lines)


def _format_table(metrics: list[Metric]) -> Iterator[str]:
    yield "| metric | unit | best | description | data | requires | use | file |"
    yield "|---|---|---|---|---|---|---|---|"
    for m in metrics:
        data = "all" if m.modalities == ALL else ", ".join(m.modalities)
        use = ["objective"] * m.objective + ["column"] * m.column + ["*test*"] * m.test_only
        best = m.direction if m.ideal is None else f"{m.ideal:g}"
        cells = [f"**{m.title}** `{m.name}`", m.unit, best, m.description, data, ", ".join(m.requires.abilities)]
        yield "| " + " | ".join([*cells, ", ".join(use), f"`{file_of(m.name)}.py`"]) + " |"


def write_page(root: Path) -> None:
    """Write the page into a repository."""
    files.write_bytes(root / PATH, format_page().encode())


if __name__ == "__main__":
    write_page(Path())
