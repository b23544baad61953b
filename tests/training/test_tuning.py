"""The study: trial 0 is the default, a kill changes nothing, and what Optuna does where the code relies on it.

Run as a script this file is the process that goes on after a kill: `python test_tuning.py LOG OUT`.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch

from genfoundry import config
from genfoundry.config import Search, Train
from genfoundry.errors import UserError
from genfoundry.models.base import Hyper, Learner
from genfoundry.seeding import derive_seed
from genfoundry.training import tuning
from genfoundry.training.loop import Diverged
from genfoundry.training.trainer import Trainer
from genfoundry.types import Batch, Spec
from pipeline.orchestration import resolve

ROOT = Path(__file__).parents[2]
SPACE = {
    "train.lr.model": Search(low=1e-4, high=1e-1, log=True),
    "hyper.width": Search(low=4, high=64, log=True),
    "hyper.depth": Search(low=1, high=5),
    "hyper.cell": Search(choices=("rnn", "lstm", "gru")),
    "train.ema": Search(low=0.0, high=0.9),
}
DEFAULTS = {"train.lr.model": 3e-3, "hyper.width": 16, "hyper.depth": 3, "hyper.cell": "gru", "train.ema": 0.5}
TRIALS = 14


def study(**more: Any) -> tuning.Study:
    own = {"key": (20, "b"), "direction": "minimize", "space": SPACE, "defaults": DEFAULTS, "trials": TRIALS}
    return tuning.Study(**{**own, **more})


def search(of: tuning.Study, objective: tuning.Objective, log: Path) -> optuna.Study:
    """The study with its trials in this process."""
    return tuning.search(of, lambda done, new: [tuning.run_trial(of, done, index, objective) for index in new], log)


def loss(overlay: Mapping[str, Any]) -> float:
    """A bowl, 0 at the best settings."""
    far = abs(math.log10(overlay["train.lr.model"] / 1e-2)) + abs(math.log2(overlay["hyper.width"] / 32)) / 4
    return far + 0.2 * (overlay["hyper.cell"] != "lstm") + abs(overlay["train.ema"] - 0.3) + overlay["hyper.depth"] / 50


def bowl(overlay: Mapping[str, Any], report: tuning.Report) -> float:
    """Falls to `loss` in three reports; large rates give no figure, and the deepest at small rates diverge."""
    value = loss(overlay)
    for step in (1, 2):
        report(step, value + 0.3 / step)
    if overlay["train.lr.model"] > 0.05:
        return math.nan
    if overlay["hyper.depth"] == 5 and overlay["train.lr.model"] < 2e-3:
        raise Diverged("training diverged")
    return value


def read(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def main(log: Path, out: Path, trial: int = -1) -> None:
    """The study, killed in the middle of `trial`; its outs in `out` if it comes to its end."""

    def objective(overlay: Mapping[str, Any], report: tuning.Report) -> float:
        def watched(step: int, value: float) -> None:
            if len(read(log)) == trial:
                os.kill(os.getpid(), signal.SIGKILL)
            report(step, value)

        return bowl(overlay, watched)

    tuning.write(study(), search(study(), objective, log), log, out, "loss")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pictures: they take seconds."""
    monkeypatch.setattr(tuning, "plot", lambda memory, folder: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The log and the outs of an uninterrupted study."""
    folder = tmp_path_factory.mktemp("whole")
    main(folder / "trials.jsonl", folder / "out")
    return folder


def test_what_a_study_compared_is_said(tmp_path: Path, plain: None) -> None:
    """A gain is of trials of so many steps, and of no training that was not run."""
    log, out = tmp_path / "trials.jsonl", tmp_path / "out"
    short = study(steps=96, whole=1200)
    tuning.write(short, search(short, bowl, log), log, out, "loss")
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["steps"], summary["whole"]) == (96, 1200)
    assert summary["gain"] >= 0


def test_a_killed_study_ends_with_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    """Killed among the random trials, then among TPE's; also: outs and pictures of two processes are equal."""
    log, out = tmp_path / "trials.jsonl", tmp_path / "out"
    for trial in (2, 10):
        process = multiprocessing.get_context("fork").Process(target=main, args=(log, out, trial))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        assert len(read(log)) == trial
        assert not out.exists()
    env = {**os.environ, "PYTHONHASHSEED": "7", "MPLBACKEND": "Agg", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    subprocess.run([sys.executable, __file__, str(log), str(out)], env=env, check=True)
    assert log.read_bytes() == (whole / "trials.jsonl").read_bytes()
    names = ["history.png", "importances.png", "overlay.json", "slices.png", "summary.json", "trials.jsonl"]
    for folder in (out, whole / "out"):
        assert sorted(path.name for path in folder.iterdir()) == names
    for name in names:
        assert (out / name).read_bytes() == (whole / "out" / name).read_bytes(), name


def test_every_kind_of_trial_was_there(whole: Path) -> None:
    """Or the test above would show less than it says."""
    done = read(whole / "trials.jsonl")
    assert [one["number"] for one in done] == list(range(TRIALS))
    assert {one["state"] for one in done} == {"COMPLETE", "PRUNED", "FAIL"}
    late = [one for one in done[10:] if one["state"] != "FAIL"]
    assert {one["state"] for one in late} >= {"COMPLETE"}


def test_trial_0_is_the_default(whole: Path) -> None:
    first = read(whole / "trials.jsonl")[0]
    assert first["params"] == DEFAULTS
    assert first["state"] == "COMPLETE"
    assert first["value"] == loss(DEFAULTS)


def test_the_best_beats_the_default_and_is_complete(whole: Path) -> None:
    done = read(whole / "trials.jsonl")
    chosen = tuning.find_best(study(), done)
    assert chosen["state"] == "COMPLETE"
    assert chosen["value"] == min(one["value"] for one in done if one["state"] == "COMPLETE") < loss(DEFAULTS)
    summary = json.loads((whole / "out/summary.json").read_text())
    gain = loss(DEFAULTS) - chosen["value"]
    expected = {"objective": "loss", "default": loss(DEFAULTS), "best": chosen["value"], "gain": gain, "trials": TRIALS}
    assert summary == {**expected, "steps": 0, "whole": 0}
    assert json.loads((whole / "out/overlay.json").read_text()) == chosen["params"]


def test_a_pruned_trial_keeps_its_reports_and_is_never_best(whole: Path) -> None:
    done = read(whole / "trials.jsonl")
    pruned = [one for one in done if one["state"] == "PRUNED"]
    for one in pruned:
        assert one["reports"]
        assert one["value"] == one["reports"][-1][1] == loss(one["params"]) + 0.3 / one["reports"][-1][0]
    tempting = [{**one, "value": -1.0} if one["state"] == "PRUNED" else one for one in done]
    assert tuning.find_best(study(), tempting) == tuning.find_best(study(), done)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("trials", [1, tuning.WARM, tuning.WARM + 1, tuning.WARM + 2])
def test_a_study_prunes_only_if_it_can(trials: int, batch: int, tmp_path: Path) -> None:
    """Each trial does worse than all before it; `prunes` says whether one was stopped."""
    seen: list[int] = []

    def worse(overlay: Mapping[str, Any], report: tuning.Report) -> float:
        seen.append(len(seen))
        report(1, float(len(seen)))
        return float(len(seen))

    search(study(trials=trials, batch=batch), worse, tmp_path / "trials.jsonl")
    states = [one["state"] for one in read(tmp_path / "trials.jsonl")]
    assert study(trials=trials, batch=batch).prunes == ("PRUNED" in states)


def test_a_failed_trial_has_no_figure(whole: Path) -> None:
    for one in read(whole / "trials.jsonl"):
        assert (one["state"] == "FAIL") == (one["value"] is None)
        assert one["state"] != "FAIL" or one["reports"] == []


def test_every_draw_lies_in_its_space(whole: Path) -> None:
    done = read(whole / "trials.jsonl")
    for one in done:
        assert one["params"].keys() == SPACE.keys()
        for key, space in SPACE.items():
            value = one["params"][key]
            assert value in space.choices if space.choices else space.low <= value <= space.high  # type: ignore[operator]
            assert type(value) is type(DEFAULTS[key])
    assert len({one["params"]["hyper.width"] for one in done}) > 3


@pytest.mark.parametrize("cut", [1, 14, 30, 60, 100, -1])
def test_a_half_written_last_line_is_dropped(cut: int, tmp_path: Path) -> None:
    short = study(trials=4)
    log = tmp_path / "trials.jsonl"
    search(short, bowl, log)
    expected = log.read_bytes()
    lines = expected.splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:2]) + lines[2][:cut])
    assert len(lines[2]) > 110
    calls: list[Mapping[str, Any]] = []

    def counting(overlay: Mapping[str, Any], report: tuning.Report) -> float:
        calls.append(overlay)
        return bowl(overlay, report)

    search(short, counting, log)
    assert log.read_bytes() == expected
    assert len(calls) == 2


def test_a_half_written_line_may_look_like_a_whole_one(tmp_path: Path) -> None:
    """The default's line, cut behind an inner brace."""
    log = tmp_path / "trials.jsonl"
    search(study(trials=1), bowl, log)
    expected = log.read_bytes()
    for end in (at + 1 for at, byte in enumerate(expected) if byte == ord("}")):
        log.write_bytes(expected[:end])
        search(study(trials=1), bowl, log)
        assert log.read_bytes() == expected


def test_a_finished_study_runs_nothing(whole: Path, tmp_path: Path) -> None:
    log = tmp_path / "trials.jsonl"
    log.write_bytes((whole / "trials.jsonl").read_bytes())

    def never(overlay: Mapping[str, Any], report: tuning.Report) -> float:
        raise AssertionError

    memory = search(study(), never, log)
    assert [trial.state.name for trial in memory.trials] == [one["state"] for one in read(log)]


def test_a_tie_goes_to_the_default(tmp_path: Path) -> None:
    flat = study(direction="maximize", trials=5)
    memory = search(flat, lambda overlay, report: 1.0, tmp_path / "trials.jsonl")
    chosen = tuning.find_best(flat, read(tmp_path / "trials.jsonl"))
    assert chosen["number"] == 0
    assert chosen["params"] == DEFAULTS
    assert tuning.find_best(study(), read(tmp_path / "trials.jsonl")) == chosen
    tuning.write(flat, memory, tmp_path / "trials.jsonl", tmp_path / "out", "loss")  # pictures of a plateau, too
    assert json.loads((tmp_path / "out/summary.json").read_text())["gain"] == 0


def test_a_worse_search_leaves_the_default(tmp_path: Path) -> None:
    log = tmp_path / "trials.jsonl"
    search(study(trials=5), lambda overlay, report: 0.0 if overlay == DEFAULTS else 1.0, log)
    assert tuning.find_best(study(trials=5), read(log))["params"] == DEFAULTS


@pytest.mark.usefixtures("plain")
def test_maximise_is_the_mirror_of_minimise(whole: Path, tmp_path: Path) -> None:
    """Pruning, TPE and the choice of the best: with the sign turned the same trials and the same best."""
    log, mirror = tmp_path / "trials.jsonl", study(direction="maximize")

    def turned(overlay: Mapping[str, Any], report: tuning.Report) -> float:
        return -bowl(overlay, lambda step, value: report(step, -value))

    memory = search(mirror, turned, log)
    done, reference = read(log), read(whole / "trials.jsonl")
    assert [one["state"] for one in done] == [one["state"] for one in reference]
    assert [one["params"] for one in done] == [one["params"] for one in reference]
    assert tuning.find_best(mirror, done)["number"] == tuning.find_best(study(), reference)["number"]
    tuning.write(mirror, memory, log, tmp_path / "out", "gain")
    assert json.loads((tmp_path / "out/summary.json").read_text())["gain"] > 0


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.filterwarnings("ignore:All-NaN")
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_none_fails_the_trial_alone(bad: float, direction: str, tmp_path: Path) -> None:
    log, small = tmp_path / "trials.jsonl", study(direction=direction, trials=6)

    def objective(overlay: Mapping[str, Any], report: tuning.Report) -> float:
        report(1, bad)
        return bad if overlay == DEFAULTS or overlay["hyper.cell"] == "rnn" else loss(overlay)

    memory = search(small, objective, log)
    done = read(log)
    assert len(done) == 6
    assert done[0]["state"] == "FAIL"
    assert not any(word in log.read_text() for word in ("NaN", "Infinity"))
    chosen = tuning.find_best(small, done)
    tuning.write(small, memory, log, tmp_path / "out", "loss")
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["default"] is None and summary["gain"] is None
    assert summary["best"] == chosen["value"] and chosen["params"]["hyper.cell"] != "rnn"


def test_a_study_of_failures_gives_the_default(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log, small = tmp_path / "trials.jsonl", study(trials=4)

    def diverge(overlay: Mapping[str, Any], report: tuning.Report) -> float:
        report(1, 0.5)
        raise Diverged("training diverged in phase fit")

    memory = search(small, diverge, log)
    assert [one["state"] for one in read(log)] == ["FAIL"] * 4
    assert "trial 3: training diverged" in caplog.text
    tuning.write(small, memory, log, tmp_path / "out", "loss")
    assert json.loads((tmp_path / "out/overlay.json").read_text()) == DEFAULTS


def test_no_trials_give_an_empty_overlay(tmp_path: Path) -> None:
    log, none = tmp_path / "state/trials.jsonl", study(space={}, defaults={}, trials=0)
    memory = search(none, bowl, log)
    tuning.write(none, memory, log, tmp_path / "out", "loss")
    assert json.loads((tmp_path / "out/overlay.json").read_text()) == {}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "overlay.json",
        "summary.json",
        "trials.jsonl",
    ]


class Spoilt(Learner):
    """No step of its training is finite; its weights stay as they were, and so would its figure."""

    def __init__(self) -> None:
        super().__init__(Spec((2,), None), Hyper())
        self.w = torch.nn.Parameter(torch.ones(2))

    def losses(self, batch: Batch, clock: Any) -> Any:
        yield {"model": math.nan * self.w.sum()}


def test_a_training_that_diverged_is_no_candidate(tmp_path: Path) -> None:
    """Its last finite weights might score well, but `train` would end with the same error."""

    class Loader:
        split = None

        def batch(self, phase: str, step: int) -> Batch:
            return Batch(torch.zeros(1, 2))

    def objective(overlay: Mapping[str, Any], report: tuning.Report) -> float:
        if overlay != DEFAULTS:
            train = Train(lr={"model": 0.1}, steps={"fit": 30})
            Trainer(Loader(), train, ("k",)).fit(Spoilt())  # type: ignore[arg-type]
        return 1.0

    search(study(trials=3), objective, tmp_path / "trials.jsonl")
    assert [one["state"] for one in read(tmp_path / "trials.jsonl")] == ["COMPLETE", "FAIL", "FAIL"]


def test_settings_that_make_no_model_fail_their_trial_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def picky(overlay: Mapping[str, Any], report: tuning.Report) -> float:
        if overlay["hyper.depth"] != 3:
            raise tuning.Infeasible("a depth of 3 is right")
        return loss(overlay)

    memory = search(study(trials=6), picky, tmp_path / "log")
    states = [trial.state.name for trial in memory.trials]
    assert len(states) == 6 and states[0] == "COMPLETE" and "FAIL" in states
    assert "a depth of 3 is right" in caplog.text


def test_a_mistake_stops_the_study_and_loses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "trials.jsonl"

    def objective(overlay: Mapping[str, Any], report: tuning.Report) -> float:
        if overlay != DEFAULTS:
            raise UserError("hyper.width: 3 heads do not divide it")
        return bowl(overlay, report)

    with pytest.raises(UserError, match="heads"):
        search(study(trials=3), objective, log)
    assert len(read(log)) == 1


def test_a_range_is_whole_only_if_the_default_is(tmp_path: Path) -> None:
    space = {"a": Search(low=0, high=4), "b": Search(low=0, high=4)}
    mixed = study(space=space, defaults={"a": 1, "b": 0.5}, trials=5)
    search(mixed, lambda overlay, report: overlay["b"], tmp_path / "trials.jsonl")
    done = read(tmp_path / "trials.jsonl")
    assert done[0]["params"] == {"a": 1, "b": 0.5}
    assert all(isinstance(one["params"]["a"], int) for one in done)
    assert any(one["params"]["b"] % 1 for one in done[1:])


BATCH = 4


@pytest.fixture(scope="module")
def batched(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The log of a study of batches."""
    log = tmp_path_factory.mktemp("batched") / "trials.jsonl"
    search(study(batch=BATCH), bowl, log)
    return log.read_bytes()


def test_a_batch_depends_on_the_trials_before_it_alone(batched: bytes, tmp_path: Path) -> None:
    """Whatever the order and wherever its trials run: from last to first, each from JSON lines, gives the same log."""
    of = study(batch=BATCH)
    calls: list[tuple[int, list[int]]] = []

    def backwards(done: list[dict[str, Any]], indices: list[int]) -> list[dict[str, Any]]:
        calls.append((len(done), indices))
        text = json.dumps(done)
        return [tuning.run_trial(of, json.loads(text), index, bowl) for index in reversed(indices)][::-1]

    tuning.search(of, backwards, tmp_path / "trials.jsonl")
    assert (tmp_path / "trials.jsonl").read_bytes() == batched
    assert calls == [(0, [0, 1, 2, 3]), (4, [4, 5, 6, 7]), (8, [8, 9, 10, 11]), (12, [12, 13])]


def test_the_trials_of_a_batch_differ(batched: bytes, whole: Path) -> None:
    done = [json.loads(line) for line in batched.splitlines()]
    assert [one["number"] for one in done] == list(range(TRIALS))
    assert done[0]["params"] == DEFAULTS
    for start in range(0, TRIALS, BATCH):
        settings = [json.dumps(one["params"]) for one in done[start : start + BATCH]]
        assert len(set(settings)) == len(settings)
    assert [one["params"] for one in done] != [one["params"] for one in read(whole / "trials.jsonl")]
    assert {one["state"] for one in done} >= {"COMPLETE", "PRUNED"}


@pytest.mark.parametrize("kept", [1, 3, 4, 6, 13])
def test_a_batch_that_a_kill_cut_in_two_is_completed(kept: int, batched: bytes, tmp_path: Path) -> None:
    log = tmp_path / "trials.jsonl"
    log.write_bytes(b"".join(batched.splitlines(keepends=True)[:kept]))
    search(study(batch=BATCH), bowl, log)
    assert log.read_bytes() == batched


def test_draws_depend_on_the_key_and_on_the_number_of_trials(whole: Path) -> None:
    done = read(whole / "trials.jsonl")

    def drawn(key: tuple[object, ...], n: int) -> dict[str, Any]:
        memory = tuning.replay(study(key=key), done[:n])
        return memory.ask(tuning.distributions(study())).params

    assert drawn((20, "b"), 3) == done[3]["params"]
    assert drawn((20, "c"), 3) != done[3]["params"]
    assert drawn((21, "b"), 3) != done[3]["params"]
    assert drawn((20, "b"), 4) == done[4]["params"] != done[3]["params"]


def test_what_optuna_does(whole: Path) -> None:
    """Where `replay` relies on it: numbers follow on, states and attributes come back, TPE takes over from chance."""
    done = read(whole / "trials.jsonl")
    assert done[0]["attributes"] == {"fixed_params": DEFAULTS}
    memory = tuning.replay(study(), done[:10])
    for trial, one in zip(memory.trials, done, strict=False):
        assert (trial.number, trial.state.name, trial.value) == (one["number"], one["state"], one["value"])
        assert trial.params == one["params"]
        assert trial.system_attrs == one["attributes"]
        assert list(trial.intermediate_values.items()) == [tuple(report) for report in one["reports"]]

    def asked(n: int, sampler: type[optuna.samplers.BaseSampler]) -> dict[str, Any]:
        replayed = tuning.replay(study(), done[:n])
        if sampler is optuna.samplers.RandomSampler:
            replayed.sampler = optuna.samplers.RandomSampler(seed=derive_seed(*study().key, "tune", n) % 2**32)
        return replayed.ask(tuning.distributions(study())).params

    tpe, chance = optuna.samplers.TPESampler, optuna.samplers.RandomSampler
    assert asked(2, tpe) == asked(2, chance)  # among the first third
    assert asked(12, tpe) != asked(12, chance)
    assert asked(12, tpe) == done[12]["params"]


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_the_pruner_compares_with_the_median_of_complete_trials(tmp_path: Path) -> None:
    """Never before two are complete, never trial 0, and a report that is no number ends a trial."""
    values = iter([1.0, 3.0, 2.5, 1.9, 9.0, math.nan])
    seen: list[str] = []

    def objective(overlay: Mapping[str, Any], report: tuning.Report) -> float:
        value = next(values)
        seen.append("began")
        report(1, value)
        seen[-1] = "ended"
        return value

    search(study(trials=6), objective, tmp_path / "trials.jsonl")
    states = [one["state"] for one in read(tmp_path / "trials.jsonl")]
    assert states == ["COMPLETE", "COMPLETE", "PRUNED", "COMPLETE", "PRUNED", "FAIL"]
    assert seen == ["ended", "ended", "began", "ended", "began", "began"]


@pytest.mark.usefixtures("plain")
def test_an_overlay_is_checked_by_the_edge(tmp_path: Path) -> None:
    """What a study writes is what `train` takes; a key or value that was tampered with is refused."""
    params = resolve.load_params(ROOT / "params.yaml")
    one = resolve.resolve_experiment(params, "linear-sunspots", {})
    small = study(space=one.entry.search, defaults=one.defaults(), trials=4)
    log = tmp_path / "trials.jsonl"

    def objective(overlay: Mapping[str, Any], report: tuning.Report) -> float:
        order = resolve.resolve_experiment(params, "linear-sunspots", overlay).hyper.model_dump()["order"]
        return abs(order - 3.2)

    memory = search(small, objective, log)
    tuning.write(small, memory, log, tmp_path / "out", "mae")
    overlay = json.loads((tmp_path / "out/overlay.json").read_text())
    tuned = resolve.load_experiment("linear-sunspots", ROOT / "params.yaml", overlay)
    assert tuned.hyper.model_dump()["order"] == overlay["hyper.order"]
    for wrong, word in (
        ({"hyper.ordr": 3}, "did you mean 'order'"),
        ({"hyper.order": "3"}, "valid integer"),
        ({"hyper.order": 3.5}, "hyper.order"),
        ({"train.lr.modle": 0.1}, "modle"),
        ({"train.steps": 5}, "steps"),
        ({"task": "x"}, "only hyper"),
    ):
        with pytest.raises(UserError, match=word):
            resolve.load_experiment("linear-sunspots", ROOT / "params.yaml", wrong)


def test_search_spaces_that_are_none() -> None:
    for space, word in (
        ({"low": 0.0, "high": 1.0, "log": True}, "above 0"),
        ({"low": 2, "high": 1}, "below"),
        ({"choices": [1], "low": 1, "high": 2}, "either"),
    ):
        with pytest.raises(UserError, match=word):
            config.check(Search, space, "search")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
