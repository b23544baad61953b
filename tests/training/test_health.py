"""A collapse is seen, said and pruned; a generator whose samples vary is left alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from genfoundry import config, files
from genfoundry.evaluation.card import note_collapse
from genfoundry.models.base import GenerativeModel, Hyper
from genfoundry.training import health, tuning
from genfoundry.training.experiment import Experiment
from genfoundry.training.health import EARLIEST, RULES, find_collapse, is_adversarial
from genfoundry.training.trainer import Limit, Trainer
from genfoundry.types import Batch, Clock, Event, Spec
from pipeline.stages import train, tune

SPEC = Spec((1, 2, 2), 4)
STEPS = 200


class Toy(GenerativeModel):
    """A generator of shifted noise, or of its shift alone; the critic scores a pixel."""

    class Config(Hyper):
        collapses: bool = False

    defaults: ClassVar[dict[str, Any]] = {"lr": {"critic": 0.01, "generator": 0.01}}
    config: Config

    def __init__(self, spec: Spec, config: Config) -> None:
        super().__init__(spec, config)
        self.shift, self.weight = nn.Parameter(torch.zeros(1, 2, 2)), nn.Parameter(torch.zeros(1))

    def players(self) -> dict[str, list[nn.Parameter]]:
        return {"critic": [self.weight], "generator": [self.shift]}

    def losses(self, batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        real, noise = batch.x.float(), torch.randn(len(batch), *self.spec.shape)
        fake = self.shift + (0 if self.config.collapses else 1) * noise
        self.diagnostics["diversity"] = (fake.std(0).mean() / real.std(0).mean()).detach()
        gap = real[:, 0, 0, 0].mean() - fake[:, 0, 0, 0].mean()
        yield {"critic": self.weight.square().sum() - self.weight.sum() * gap.detach(), "generator": gap.square()}


class Noise:
    """A loader of noise at four levels."""

    split: Any = None

    def batch(self, phase: str, step: int) -> Batch:
        return Batch(torch.randint(4, (8, *SPEC.shape)))


def trained(collapses: bool, folder: Path | None = None) -> list[Event]:
    settings = config.Train(lr=Toy.defaults["lr"], steps={"fit": STEPS})
    trainer = Trainer(Noise(), settings, ("k",), folder, name="toy", save_every=0.0)  # type: ignore[arg-type]
    return trainer.fit(Toy(SPEC, Toy.Config(collapses=collapses)))


def test_a_collapse_is_warned_of_once_while_training(caplog: pytest.LogCaptureFixture) -> None:
    events = trained(collapses=True)
    (message,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert message.startswith(f"toy: step {EARLIEST} of {STEPS}: collapsed: samples vary 0 times")
    assert events[-1].clock.step == STEPS  # a full training ends
    assert find_collapse(events).endswith("(below 0.1 at 5 events in a row)")


def test_samples_that_vary_are_no_collapse(caplog: pytest.LogCaptureFixture) -> None:
    assert find_collapse(trained(collapses=False)) == ""
    assert not caplog.records


def test_collapsed_trials_are_pruned_and_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever settings are drawn: those that collapse end early and without a value, the others are complete."""
    settings = config.Train(batch=8, lr=Toy.defaults["lr"], steps={"fit": STEPS})
    entry = config.Entry(dataset="d", task="t", model="toy", search={
        "hyper.collapses": config.Search(choices=(False, True)),
        "train.lr.generator": config.Search(low=1e-3, high=1e-1, log=True),
    })  # fmt: skip
    budget = config.Budget(trials=6, trial_share=1.0, samples=2)
    run, task = config.Run(seed=1, threads=1), config.Task(dataset="d", objective="x")
    experiment = Experiment("toy", run, budget, entry, task, "images", Toy, Toy.Config(), settings)
    inputs = tune.TrialInputs(experiment, torch.device("cpu"), None, None, None)  # type: ignore[arg-type]
    monkeypatch.setattr(tune.TrialInputs, "measure", lambda self, model: 1.0 + float(model.config.collapses))
    monkeypatch.setattr(Experiment, "trainer", lambda self, split, **more: Trainer(Noise(), self.train, more["key"]))
    monkeypatch.setattr(Noise, "split", type("Split", (), {"spec": SPEC}))
    study, objective = tune.make_study(experiment), tune.Objective(inputs, Limit())
    log = tmp_path / "trials.jsonl"
    memory = tuning.search(study, lambda done, new: [tuning.run_trial(study, done, i, objective) for i in new], log)
    records = [memory.trials[i] for i in range(6)]
    done = tuning._read_log(log)
    assert {r["params"]["hyper.collapses"] for r in done} == {False, True}
    for record, trial in zip(done, records, strict=True):
        collapses = record["params"]["hyper.collapses"]
        assert (record["state"], record["value"]) == (("PRUNED", None) if collapses else ("COMPLETE", 1.0))
        assert trial.state.name == record["state"]  # so that the sampler learns from it
        assert ("reason" in record) == collapses
    reason = next(record["reason"] for record in done if "reason" in record)
    assert reason.startswith("collapsed: samples vary 0 times") and f"at step {EARLIEST} of {STEPS}" in reason
    assert not tuning.find_best(study, done)["params"]["hyper.collapses"]


class Set:
    """The part of a prepared data set that the stage reads."""

    meta: ClassVar[dict[str, Any]] = {"digest": "d" * 64}

    def __init__(self, path: Path) -> None:
        pass

    def split(self, *how: Any) -> Any:
        return type("Split", (), {"spec": SPEC})


@pytest.mark.parametrize("collapses", [True, False])
def test_the_model_of_a_training_that_ends_collapsed_says_so(
    collapses: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train, "Dataset", Set)
    monkeypatch.setattr(train.device, "configure_torch", lambda run: torch.device("cpu"))
    monkeypatch.setattr(Noise, "split", type("Split", (), {"spec": SPEC}))
    monkeypatch.setattr(Experiment, "trainer", lambda self, split, number, **more: Trainer(Noise(), self.train, ("k",)))
    settings = config.Train(batch=8, lr=Toy.defaults["lr"], steps={"fit": STEPS})
    run, task = config.Run(seed=1, threads=1, device="cpu"), config.Task(dataset="d", objective="frechet")
    budget = config.Budget(trials=0, trial_share=1.0, samples=2)
    entry, hyper = config.Entry(dataset="d", task="t", model="toy"), Toy.Config(collapses=collapses)
    train.train(Experiment("toy", run, budget, entry, task, "images", Toy, hyper, settings), 0, tmp_path / "s", Limit())
    card = files.read_json(tmp_path / "s/done/model.json")
    assert card.get("collapse", "").startswith("collapsed: samples vary 0 times") == collapses
    assert ("collapse" in card) == collapses
    assert note_collapse({}, card) == ([card["collapse"]] if collapses else [])
    header = (tmp_path / "s/curves.csv").read_text().splitlines()[0]
    assert header.endswith("grad_norm.critic,grad_norm.generator,health.diversity")


def events(measure: str, values: list[float], total: int = 1000) -> list[Event]:
    """Events of one phase, evenly over all of its steps."""
    steps = [total * (i + 1) // len(values) for i in range(len(values))]
    return [Event(Clock("fit", s, total), {}, {}, health={measure: v}) for s, v in zip(steps, values, strict=True)]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.measure)
def test_a_rule_wants_its_patience_below_its_threshold(rule: health.Rule) -> None:
    low, high = 0.9 * rule.least, 1.1 * rule.least
    assert find_collapse(events(rule.measure, [high] * 10 + [low] * rule.patience))
    assert not find_collapse(events(rule.measure, [high] * 10 + [low] * (rule.patience - 1)))
    assert not find_collapse(events(rule.measure, [low] * 10 + [high] + [low] * (rule.patience - 1)))
    recovered = events(rule.measure, [low] * 10 + [high])
    assert find_collapse(recovered[:-1]) and not find_collapse(recovered)


def test_nothing_counts_before_a_generator_has_learnt() -> None:
    flat = events("diversity", [0.0] * 50)
    first = next(i for i in range(1, 51) if find_collapse(flat[:i]))
    oldest = first - RULES[0].patience  # of the events that it took
    assert flat[oldest].clock.share >= health.WARMUP > flat[oldest - 1].clock.share
    assert not find_collapse(events("diversity", [0.0] * 50, total=EARLIEST - 1))
    assert find_collapse([]) == ""


def test_another_phase_does_not_count() -> None:
    before = events("diversity", [0.0] * 50)
    after = [replace(event, clock=Clock("prior", 1000, 1000), health={}) for event in before[:1]]
    assert find_collapse(before + after) == ""


def test_models_with_a_critic_are_adversarial() -> None:
    assert is_adversarial(Toy)
    assert not is_adversarial(GenerativeModel)
