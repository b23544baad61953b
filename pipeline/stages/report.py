"""Report: a table for each data set, and pages beside the outputs, which `genfoundry repro` renders again."""

from pathlib import Path

from genfoundry import paths
from genfoundry.reporting import leaderboard, site
from pipeline.orchestration.unit import Unit

HERE = Path()


def run(unit: Unit) -> None:
    """Write the leaderboard and the pages."""
    leaderboard.write(paths.scores(""), paths.baselines(""), paths.RANKINGS, paths.INDEX.parent)
    # No output of the stage: pages show costs of this machine, which differ from run to run.
    site.render(HERE)
