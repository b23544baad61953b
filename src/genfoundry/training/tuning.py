"""Optuna around `fit`: a study replays one JSON line a finished trial, so a kill loses the running batch only."""

from __future__ import annotations

import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genfoundry import files
from genfoundry.config import Search, Train
from genfoundry.seeding import derive_seed
from genfoundry.training.loop import Diverged, fit
from genfoundry.types import Event

if TYPE_CHECKING:
    import optuna

    from genfoundry.data.loaders import Loader
    from genfoundry.models.base import Learner

WARM = 2  # finished trials before the pruner judges one
Report = Callable[[int, float], None]
Objective = Callable[[Mapping[str, Any], Report], float]
RunBatch = Callable[[list[dict[str, Any]], list[int]], list[dict[str, Any]]]


class Pruned(Exception):
    """Raised out of the objective's `report` when the pruner has seen enough."""


class Infeasible(Exception):
    """Raised by an objective whose settings make no model on these data."""


@dataclass(frozen=True)
class Study:
    """What is searched: `defaults` (dotted key -> value) are trial 0, so that no worse trial than theirs is chosen.

    `steps` of `whole` steps a trial trains: what is best after so many need not be after all of them. `batch` trials
    are asked before the first of them is told.
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
        """Whether any trial comes late enough to be pruned: else nothing reads what a trial reports on its way."""
        return self.start_of_batch(self.trials - 1) >= WARM

    def start_of_batch(self, index: int) -> int:
        """Index of the first trial of the batch that trial `index` is asked in."""
        return index - index % self.batch


def search(study: Study, run_batch: RunBatch, log: Path) -> optuna.Study:
    """Run the trials that `log` does not hold yet; each finished one is appended to it as a JSON line, in index order.

    `run_batch(done, indices)` gets the records of the trials that finished before the batch and returns a record for
    each index, wherever it runs them. The trials are the same whether or not the process was killed in between.
    """
    done = _read_log(log)
    while len(done) < study.trials:
        start = study.start_of_batch(len(done))  # a kill may have cut a batch in two
        records = run_batch(done[:start], list(range(len(done), min(start + study.batch, study.trials))))
        with log.open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(record, sort_keys=True)}\n" for record in records)
        done += records
    return replay(study, done)


def _read_log(log: Path) -> list[dict[str, Any]]:
    """Records of the finished trials; what a kill left of a last line is cut off the file."""
    complete, _, cut = (log.read_text(encoding="utf-8") if log.exists() else "").rpartition("\n")
    if cut or not log.exists():  # a cut line may end like a complete one
        files.write_bytes(log, f"{complete}\n".encode() if complete else b"")
    return [json.loads(line) for line in complete.splitlines()]


def run_trial(study: Study, done: list[dict[str, Any]], index: int, objective: Objective) -> dict[str, Any]:
    """Run trial `index` of the batch that follows the finished trials `done`; returns its record, a line of the log.

    Any process can: the batch is asked anew, in order, up to the trial itself. Every draw is seeded by (key, number of
    finished trials), and pruning compares with trials that finished before the batch alone.
    """
    memory = replay(study, done)
    if not done:
        memory.enqueue_trial(dict(study.defaults))
    space = distributions(study)
    trials = [memory.ask(space) for _ in range(len(done), index + 1)]
    return _run(memory, trials[-1], study, objective)


def replay(study: Study, done: list[dict[str, Any]]) -> optuna.Study:
    """An in-memory study that holds the finished trials and whose next draw is seeded by their number."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    seed = derive_seed(*study.key, "tune", len(done)) % 2**32
    # TPE keeps a draw apart from the running trials (its `constant_liar`), here those that the batch asked before.
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=max(2, study.trials // 3))
    pruner = optuna.pruners.MedianPruner(n_startup_trials=WARM)
    memory = optuna.create_study(sampler=sampler, pruner=pruner, direction=study.direction)
    for one in done:
        memory.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState[one["state"]],
                value=one["value"],
                params=one["params"],
                distributions=distributions(study),
                intermediate_values={int(step): value for step, value in one["reports"]},
                system_attrs=one["attributes"],
            )
        )
    return memory


def _run(memory: optuna.Study, trial: optuna.Trial, study: Study, objective: Objective) -> dict[str, Any]:
    reports: list[tuple[int, float]] = []

    def report(step: int, value: float) -> None:
        reports.append((step, value))
        trial.report(value, step)
        if trial.number > 0 and trial.should_prune():
            raise Pruned

    worst = math.inf if study.direction == "minimize" else -math.inf
    try:
        value, state = objective(trial.params, report), "COMPLETE"
    except Pruned:
        value, state = reports[-1][1] if reports else worst, "PRUNED"
    except (Diverged, Infeasible) as error:
        print(f"trial {trial.number}: {error}", file=sys.stderr)
        value, state = worst, "FAIL"
    if not math.isfinite(value):
        value, state, reports = None, "FAIL", []  # type: ignore[assignment]
    return {
        "number": trial.number,
        "state": state,
        "value": value,
        "params": trial.params,
        "reports": [one for one in reports if math.isfinite(one[1])],  # JSON knows no other numbers
        "attributes": memory.get_trials()[trial.number].system_attrs,
    }


def distributions(study: Study) -> dict[str, optuna.distributions.BaseDistribution]:
    """Optuna's distributions of the declared space; a range is one of whole numbers if bounds and default are."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for key, one in sorted(study.space.items()):
        if one.choices is not None:
            found[key] = CategoricalDistribution(one.choices)
        elif all(isinstance(value, int) for value in (one.low, one.high, study.defaults[key])):
            found[key] = IntDistribution(one.low, one.high, log=one.log)
        else:
            found[key] = FloatDistribution(float(one.low or 0), float(one.high or 0), log=one.log)
    return found


def trained(model: Learner, loader: Loader, train: Train, key: tuple[object, ...]) -> Iterator[Event]:
    """The events of a trial's training; the model ends in evaluation mode.

    Raises:
        Diverged: as `fit` does; the trial fails, since its settings would fail `train` too.
    """
    yield from fit(model, loader, train, key=key)
    model.eval()


def write(study: Study, memory: optuna.Study, log: Path, folder: Path, objective: str) -> None:
    """The study's outs: overlay.json, trials.jsonl, summary.json (what trials gained over the default), pictures."""
    lines = log.read_text(encoding="utf-8").splitlines()
    done = [json.loads(line) for line in lines]
    chosen = best(study, done)
    default = done[0]["value"] if done else None
    gain = None if default is None or chosen["value"] is None else abs(chosen["value"] - default)
    summary = {"objective": objective, "default": default, "best": chosen["value"], "gain": gain, "trials": len(done)}
    summary |= {"steps": study.steps, "whole": study.whole}
    files.write_json(folder / "overlay.json", chosen["params"] if done else {})
    files.write_json(folder / "summary.json", summary)
    files.write_bytes(folder / "trials.jsonl", "".join(f"{line}\n" for line in lines).encode())
    pictures(memory, folder)


def best(study: Study, done: list[dict[str, Any]]) -> dict[str, Any]:
    """The best complete trial; the earliest of equals, so that the default wins a tie."""
    complete = [one for one in done if one["state"] == "COMPLETE"]
    if not complete:
        return {"params": dict(study.defaults), "value": None, "number": 0}
    sign = 1 if study.direction == "minimize" else -1
    return min(complete, key=lambda one: (sign * one["value"], one["number"]))


def pictures(memory: optuna.Study, folder: Path) -> None:
    """Optimisation history, slices and importances as PNG files."""
    import matplotlib.pyplot as plt
    import optuna
    from optuna.visualization import matplotlib as shown

    def save(name: str) -> None:
        plt.gcf().set_size_inches(9, 4.5)
        plt.tight_layout()
        plt.savefig(folder / f"{name}.png", dpi=80, metadata={"Software": None})
        plt.close("all")

    complete = [t for t in memory.trials if t.state.name == "COMPLETE"]
    varied = [k for k in distributions_of(complete) if len({t.params[k] for t in complete}) > 1]
    with warnings.catch_warnings(), plt.rc_context():
        warnings.simplefilter("ignore")  # Optuna marks its matplotlib plots as experimental
        plt.rcdefaults()  # no user's own style; the context undoes the one that Optuna sets
        if complete:
            shown.plot_optimization_history(memory)
            save("history")
        if varied:
            shown.plot_slice(memory, params=varied)
            save("slices")
        if varied and len(complete) > 2:
            evaluator = optuna.importance.PedAnovaImportanceEvaluator()
            shown.plot_param_importances(memory, evaluator=evaluator)
            save("importances")


def distributions_of(trials: list[Any]) -> list[str]:
    """Names of the parameters that every one of the trials has."""
    return sorted(set.intersection(*(set(t.params) for t in trials))) if trials else []
