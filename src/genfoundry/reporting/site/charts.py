"""Charts as inline SVG, drawn by matplotlib with the page's colours and font."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

WIDTH, HEIGHT = 340, 170  # points
ACCENT = "#14598c"
LINES = {ACCENT: "var(--accent)", "#8a5a00": "var(--doubt)", "#1a7f37": "var(--good)", "#bf2330": "var(--bad)"}
MUTED, RULE, PAPER = "#5d6670", "#dfe2e4", "#fcfcfa"
VARIABLES = {**LINES, MUTED: "var(--muted)", RULE: "var(--line)", PAPER: "var(--paper)"}  # of style.css
STYLE = {
    **{"svg.fonttype": "none", "svg.hashsalt": "genfoundry", "font.sans-serif": ["DejaVu Sans"], "font.size": 9.5},
    **{"text.color": MUTED, "text.parse_math": False, "axes.edgecolor": RULE, "grid.color": RULE},
    **{"xtick.color": MUTED, "ytick.color": MUTED, "xtick.major.size": 0, "ytick.major.size": 0},
    **{"axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "legend.frameon": False},
    "axes.prop_cycle": f"cycler(color={list(LINES)})",
}
HEALTH = {  # name of a measure -> title of its chart
    "critic_gap": "critic gap: mean score of real items less that of generated ones",
    "diversity": "diversity: spread over a batch of generated items, 1: that of real items",
    "class_share": "classes that samples reach, 1: as many as real items do",
}
NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """A chart: its title, and an <svg> element to put into a page."""

    title: str
    svg: Markup


def chart(
    title: str,
    lines: Mapping[str, Points] | None = None,
    *,
    x: str = "step",
    dots: Sequence[tuple[float, float, str]] = (),
    level: float | None = None,
    labelled: bool = False,
) -> Chart | None:
    """Draw lines by name, dots (x, y, text) and a dashed level; non-finite values are left out.

    A dot's text is its tooltip, or stands beside it where the dots are `labelled`.

    Returns:
        The chart; None where no point is finite.
    """
    finite = {name: [(a, b) for a, b in line if math.isfinite(b)] for name, line in (lines or {}).items()}
    drawn = {name: line for name, line in finite.items() if line}
    dots = [dot for dot in dots if math.isfinite(dot[1])]
    across = [a for a, *_ in (*(point for line in drawn.values() for point in line), *dots)]
    if not across:
        return None
    with matplotlib.rc_context(STYLE):
        figure, axes = _axes(integers=all(float(a).is_integer() for a in across))
        if level is not None:
            axes.axhline(level, color=MUTED, linewidth=1, linestyle=(0, (4, 4)))
        for name, line in drawn.items():
            axes.plot(*zip(*line, strict=True), linewidth=1.5, label=name)
        for i, (a, b, _) in enumerate(dots):
            # The gid becomes an id of the SVG, by which `_svg` finds the dot again and gives it its tooltip.
            axes.plot(a, b, "o", ms=5, color=PAPER, markeredgecolor=ACCENT, clip_on=False, gid=f"dot-{i}")
        if len(drawn) > 1:
            axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(drawn), borderaxespad=0)
        if labelled:
            axes.margins(0.08, 0.15)
            _label(axes, dots)
        ends = "".join(f", {name} from {line[0][1]:.4g} to {line[-1][1]:.4g}" for name, line in drawn.items())
        summary = f"{title}: {x} {min(across):g} to {max(across):g}{ends}"
        return Chart(title, _svg(figure, summary, [text for *_, text in dots]))


def _axes(integers: bool) -> tuple[Figure, Axes]:
    # Not by pyplot, which keeps every figure alive and chooses a backend for the whole process.
    figure = Figure(figsize=(WIDTH / 72, HEIGHT / 72))
    axes = figure.add_axes((0.15, 0.14, 0.82, 0.75))  # a line of text has room above
    axes.grid(axis="y", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=integers))
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return figure, axes


def _label(axes: Axes, dots: Sequence[tuple[float, float, str]]) -> None:
    """Write the dots' texts beside them, on the side that has room, each below the one above it."""
    middle, lowest = sum(axes.get_xlim()) / 2, math.inf
    (bottom, top), line_height = axes.get_ylim(), 0.09  # of the axes' height
    for x, y, text in sorted(dots, key=lambda dot: -dot[1]):
        lowest = min(y, lowest - line_height * (top - bottom))
        side, offset = ("right", (-7, 0)) if x > middle else ("left", (7, 0))
        axes.annotate(text, (x, lowest), xytext=offset, textcoords="offset points", ha=side, va="center")


def _svg(figure: Figure, summary: str, tooltips: Sequence[str]) -> Markup:
    """A figure as an element of a page: described for screen readers, coloured by CSS variables."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=NO_METADATA)
    _, _, content = file.getvalue().partition("<svg")

    def group(match: re.Match[str]) -> str:
        dot = re.fullmatch(r"dot-(\d+)", match[1])  # other ids go: they would repeat in a page of several charts
        return f"<g><title>{escape(tooltips[int(dot[1])])}</title>" if dot else "<g>"

    content = re.sub(r'<g id="([^"]*)">', group, content.partition(">")[2])
    # Colours become the variables of style.css, which alone says what they look like.
    content = re.sub("|".join(VARIABLES), lambda match: VARIABLES[match[0]], content)
    label = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(summary)}">'
    return Markup(label + re.sub(r"\n\s*", "\n", content))


def training_curves(path: Path) -> list[Chart]:
    """Losses, learning rates, gradient norms and health of a training's CSV, a line per player; [] without steps."""
    charts = (chart(title, lines) for title, lines in _columns(path))
    return [drawn for drawn in charts if drawn]


def _columns(path: Path) -> Iterator[tuple[str, dict[str, Points]]]:
    if not path.exists():
        return
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    phases = list(dict.fromkeys(row["phase"] for row in rows))
    for phase in phases:
        in_phase = [row for row in rows if row["phase"] == phase]
        for title, lines in _group_columns(in_phase):
            yield title + f", phase {phase}" * (len(phases) > 1), {k: v for k, v in lines.items() if len(v) > 1}


def _group_columns(rows: Sequence[Mapping[str, str]]) -> Iterator[tuple[str, dict[str, Points]]]:
    """Yield title and lines of each chart; measures of health have units of their own, hence a chart each."""
    lines = {key: [(float(row["step"]), float(row[key])) for row in rows if row[key]] for key in rows[0]
             if key.startswith(("loss.", "lr.", "grad_norm.", "health."))}  # fmt: skip
    for kind, title in (("loss.", "loss"), ("lr.", "learning rate"), ("grad_norm.", "gradient norm")):
        yield title, {key.removeprefix(kind): line for key, line in lines.items() if key.startswith(kind)}
    for key, line in lines.items():
        if key.startswith("health."):
            name = key.removeprefix("health.")
            yield HEALTH.get(name, name.replace("_", " ")), {name: line}
