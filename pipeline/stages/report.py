"""One table a data set, and the site that shows it: a projection beside the outs, which `make repro` renders again."""

from pathlib import Path

from genfoundry import places
from genfoundry.reporting import report, site
from genfoundry.unit import Unit

HERE = Path()


def run(unit: Unit) -> None:
    report.write(places.scores(""), places.baselines(""), places.rankings(), places.INDEX.parent)
    site.render(HERE)
