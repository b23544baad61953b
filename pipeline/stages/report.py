"""One table a data set, and the site that shows it: a projection beside the outs, which `make repro` renders again."""

from pathlib import Path

from genfoundry import paths
from genfoundry.reporting import leaderboard, site
from pipeline.orchestration.unit import Unit

HERE = Path()


def run(unit: Unit) -> None:
    leaderboard.write(paths.scores(""), paths.baselines(""), paths.RANKINGS, paths.INDEX.parent)
    site.render(HERE)
