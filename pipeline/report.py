"""One table a data set: a row an experiment and a baseline."""

from genfoundry import places, report


def run() -> None:
    report.write(places.Path("reports/scores"), places.Path("reports/baselines"), places.Path("reports/ranking"),
                 places.Path("reports"))  # fmt: skip
