"""One table a data set, and the site that shows it: a projection beside the outs, which `make repro` renders again."""

from genfoundry import places
from genfoundry.reporting import report, site

HERE = places.Path()


def run() -> None:
    report.write(places.scores(""), places.baselines(""), places.ranking("").parent, places.INDEX.parent)
    site.render(HERE)
