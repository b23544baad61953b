"""Hyperparameter search with Optuna: a study is replayed from a JSON line a trial, so a kill loses one batch only."""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import files
from genfoundry.config import Search
from genfoundry.seeding import derive_seed
from genfoundry.training.loop import Diverged

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger(__name__)
WARM = 2  # complete trials before the pruner stops one
Record = dict[str, Any]  # a finished trial: a line of the log
Report = Callable[[int, float], None]
Objective = Callable[[Mapping[str, Any], Report], float]
RunBatch = Callable[[list[Record], list[int]], list[Record]]


class Pruned(Exception):
    """Raised out of the objective's `report` when the pruner has seen enough."""


class Collapsed(Exception):
    """Raised by an objective whose generator has collapsed: its trial is pruned."""


class Infeasible(Exception):
    """Raised by an objective whose settings make no model on these data."""


@dataclass(frozen=True)
class Study:
    """What is searched, and how.

    Attributes:
        key: what every draw is seeded by.
        direction: "minimize" or "maximize".
        space: dotted key -> its search space.
        defaults: dotted key -> value of trial 0, so that no trial that is worse than the defaults is chosen.
        trials: their number.
        steps: that a trial trains, of the `whole` steps of a training: the best after so many need not be the best
            after all of them.
        batch: so many trials are asked before the first of them is told.
    """

    key: tuple[object, ...]
    direction: str
    space: Mapping[str, Search]
    defaults: Mapping[str, Any]
    trials: int
    steps: int = 0
    whole: int = 0
    batch: int = 1

    @property
    def prunes(self) -> bool:
        """Whether any trial comes late enough to be pruned; if not, none needs to report intermediate values."""
        return self.start_of_batch(self.trials - 1) >= WARM

    def start_of_batch(self, index: int) -> int:
        """Index of the first trial of the batch that trial `index` is in."""
        return index - index % self.batch


def search(study: Study, run_batch: RunBatch, log: Path) -> optuna.Study:
    """Run the trials that `log` does not hold yet; append each as a JSON line, in the order of their indices.

    The trials are the same whether or not the process was killed in between.

    Args:
        study: what is searched.
        run_batch: gets the records of the trials that finished before the batch, and the indices of the trials to run;
            returns their records, wherever it runs them.
        log: the file of finished trials.

    Returns:
        The finished study, in memory.
    """
    done = _read_log(log)
    while len(done) < study.trials:
        start = study.start_of_batch(len(done))  # a kill may have cut a batch in two
        records = run_batch(done[:start], list(range(len(done), min(start + study.batch, study.trials))))
        with log.open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(record, sort_keys=True)}\n" for record in records)
        done += records
    return replay(study, done)


def _read_log(log: Path) -> list[Record]:
    """Records of the finished trials; the start of a line that a kill left is cut off the file."""
    complete, _, cut = (log.read_text(encoding="utf-8") if log.exists() else "").rpartition("\n")
    if cut or not log.exists():  # a cut line may end like a complete one
        files.write_bytes(log, f"{complete}\n".encode() if complete else b"")
    return [json.loads(line) for line in complete.splitlines()]


def run_trial(study: Study, done: list[Record], index: int, objective: Objective) -> Record:
    """Run trial `index` of the batch that follows the finished trials `done`, and return its record.

    Any process can do so: it asks for the batch's trials anew, in order, up to this one. Draws are seeded by (key,
    number of finished trials), and pruning compares with trials that finished before the batch alone.
    """
    memory = replay(study, done)
    if not done:
        memory.enqueue_trial(dict(study.defaults))
    space = distributions(study)
    trials = [memory.ask(space) for _ in range(len(done), index + 1)]
    return _run(memory, trials[-1], study, objective)


def replay(study: Study, done: list[Record]) -> optuna.Study:
    """An in-memory study with the finished trials, whose next draw is seeded by their number."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = derive_seed(*study.key, "tune", len(done)) % 2**32  # numpy's seeds have 32 bits
    # TPE draws apart from running trials (its `constant_liar`), which here are those that the batch asked before.
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(2, study.trials // 3))
    pruner = optuna.pruners.MedianPruner(n_startup_trials=WARM)
    memory = optuna.create_study(sampler=sampler, pruner=pruner, direction=study.direction)
    for record in done:
        memory.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState[record["state"]],
                value=record["value"],
                params=record["params"],
                distributions=distributions(study),
                intermediate_values={int(step): value for step, value in record["reports"]},
                system_attrs=record["attributes"],
            )
        )
    return memory


def _run(memory: optuna.Study, trial: optuna.Trial, study: Study, objective: Objective) -> Record:
    reports: list[tuple[int, float]] = []

    def report(step: int, value: float) -> None:
        reports.append((step, value))
        trial.report(value, step)
        if trial.number > 0 and trial.should_prune():  # trial 0, the default, is never pruned
            raise Pruned

    worst = math.inf if study.direction == "minimize" else -math.inf
    reason: dict[str, str] = {}  # why it has no value
    try:
        value, state = objective(trial.params, report), "COMPLETE"
    except Pruned:
        value, state = reports[-1][1] if reports else worst, "PRUNED"
    except (Diverged, Infeasible, Collapsed) as error:
        logger.warning("trial %d: %s", trial.number, error)
        value, state, reason = worst, "FAIL", {"reason": str(error)}
        # The sampler ignores trials that fail, but learns from pruned ones, and counts those without reports the worst
        state = "PRUNED" if isinstance(error, Collapsed) else "FAIL"
    # A trial that diverged or collapsed has no value, as JSON has no infinity
    if not math.isfinite(value):
        value, reports = None, []  # type: ignore[assignment]
        state = state if reason else "FAIL"
    return {
        **reason,
        "number": trial.number,
        "state": state,
        "value": value,
        "params": trial.params,
        "reports": [report for report in reports if math.isfinite(report[1])],  # JSON has no other numbers
        "attributes": memory.get_trials()[trial.number].system_attrs,
    }


def distributions(study: Study) -> dict[str, optuna.distributions.BaseDistribution]:
    """Optuna's distributions of the declared space; a range has integers alone if its bounds and default are such."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def convert(key: str, space: Search) -> optuna.distributions.BaseDistribution:
        if space.choices is not None:
            return CategoricalDistribution(space.choices)
        if all(isinstance(value, int) for value in (space.low, space.high, study.defaults[key])):
            return IntDistribution(space.low, space.high, log=space.log)
        return FloatDistribution(float(space.low or 0), float(space.high or 0), log=space.log)

    return {key: convert(key, space) for key, space in sorted(study.space.items())}


def write(study: Study, memory: optuna.Study, log: Path, folder: Path, objective: str) -> None:
    """Write overlay.json (the best settings), trials.jsonl, summary.json (what was gained over the default), plots."""
    lines = log.read_text(encoding="utf-8").splitlines()
    done = [json.loads(line) for line in lines]
    best = find_best(study, done)
    default = done[0]["value"] if done else None
    gain = None if default is None or best["value"] is None else abs(best["value"] - default)
    summary = {"objective": objective, "default": default, "best": best["value"], "gain": gain, "trials": len(done)}
    summary |= {"steps": study.steps, "whole": study.whole}
    files.write_json(folder / "overlay.json", best["params"] if done else {})
    files.write_json(folder / "summary.json", summary)
    files.write_bytes(folder / "trials.jsonl", "".join(f"{line}\n" for line in lines).encode())
    plot(memory, folder)


def find_best(study: Study, done: list[Record]) -> Record:
    """Return the best complete trial; the earliest of equals, so that the default wins a tie."""
    complete = [record for record in done if record["state"] == "COMPLETE"]
    if not complete:
        return {"params": dict(study.defaults), "value": None, "number": 0}
    sign = 1 if study.direction == "minimize" else -1
    return min(complete, key=lambda record: (sign * record["value"], record["number"]))


def plot(memory: optuna.Study, folder: Path) -> None:
    """Write optimisation history, slices and hyperparameter importances as PNG files."""
    import matplotlib.pyplot as plt
    import optuna
    from optuna.visualization import matplotlib as plots

    def save(name: str) -> None:
        plt.gcf().set_size_inches(9, 4.5)
        plt.tight_layout()
        plt.savefig(folder / f"{name}.png", dpi=80, metadata={"Software": None})
        plt.close("all")

    complete = [t for t in memory.trials if t.state.name == "COMPLETE"]
    keys = sorted(set.intersection(*(set(t.params) for t in complete))) if complete else []
    varied = [key for key in keys if len({t.params[key] for t in complete}) > 1]
    with warnings.catch_warnings(), plt.rc_context():
        warnings.simplefilter("ignore")  # Optuna marks its matplotlib plots as experimental
        plt.rcdefaults()  # no user's own style; the context undoes the one that Optuna sets
        if complete:
            plots.plot_optimization_history(memory)
            save("history")
        if varied:
            plots.plot_slice(memory, params=varied)
            save("slices")
        if varied and len(complete) > 2:
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            plots.plot_param_importances(memory, evaluator=evaluator)
            save("importances")
