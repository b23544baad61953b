"""Register: the best of each ranking becomes a model version, and champion if it beats the present one on gate.

This stage always runs, and mostly has nothing to decide. Given names of tasks, it ranks and decides these alone, before
the others are measured; the stage `rank` writes the same rankings later.
"""

import time
from pathlib import Path

from genfoundry import paths
from genfoundry.errors import UserError
from genfoundry.selection import promotion
from pipeline.orchestration.unit import Unit

HERE = Path()


def run(unit: Unit, *tasks: str) -> float:
    """Decide all tasks, or those that are named; return the seconds that went to MLflow.

    Raises:
        UserError: a name is no task's.
    """
    if unknown := [name for name in tasks if name not in unit.settings["tasks"]]:
        raise UserError(f"{unknown[0]!r} is no task; expected one of {', '.join(unit.settings['tasks'])}")
    rankings = {name: _read_ranking(unit, name, early=bool(tasks)) for name in tasks or unit.settings["tasks"]}
    due = {name: ranking for name, ranking in rankings.items() if not promotion.is_settled(name, HERE, ranking)}
    if not due:  # before anything else is imported: this runs every time, and mostly for nothing
        print(f"register: nothing to decide for {', '.join(rankings)}")
        return 0.0
    from genfoundry import config
    from genfoundry.tracking import publish

    for name, ranking in due.items():
        settings = config.check(config.Task, unit.settings["tasks"][name], f"tasks.{name}")
        print(f"{name}: {promotion.promote(name, settings, HERE, ranking)}")
    began = time.perf_counter()
    publish.publish(HERE)
    return time.perf_counter() - began


def _read_ranking(unit: Unit, name: str, early: bool) -> bytes:
    """Return the bytes of a task's ranking: those that the stage `rank` wrote, or will write."""
    if not early:
        return paths.ranking(name).read_bytes()
    from genfoundry.files import to_canonical_json
    from pipeline.stages import rank

    # The same bytes as the stage `rank` will write, or the ledger would take them for another ranking.
    return to_canonical_json(rank.rank_task(Unit.read(paths.plan("rank")), name)).encode()
