"""`genfoundry report`: render the leaderboard and the pages from the outputs on disk."""

from genfoundry import paths
from pipeline.orchestration.unit import Unit
from pipeline.stages import plan, report


def run() -> None:
    """Write the report and print where it is."""
    plan.run()  # the report's unit names the experiments to show
    report.run(Unit.read(paths.plan("report")))
    print(f"file://{paths.INDEX.resolve()}")
