"""One table a data set: a row an experiment and a baseline."""

from genfoundry import places, report


def run() -> None:
    report.leaderboard(places.Path())
