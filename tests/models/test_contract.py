"""What holds for every model: one file in models/ more, and this suite holds it too. No model is named here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import SPECS, Loader, build, settings, specs
from torch import Tensor

from genfoundry import models
from genfoundry.models import abilities, checkpoint
from genfoundry.models.base import GenerativeModel, Learner
from genfoundry.training.loop import State, fit
from genfoundry.types import Batch, Clock, Event, Spec

NAMES = models.names()
CASES = [pytest.param(name, spec, id=f"{name}-{k}") for name in NAMES for k, spec in specs(models.find(name)).items()]
FIRST = [pytest.param(name, next(iter(specs(models.find(name)).items())), id=name) for name in NAMES]
EXACT = [case for case in CASES if getattr(models.find(str(case.values[0])), "likelihood", None) == "exact"]
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trained(name: str, spec: Spec, steps: int, *, fixed: bool = False, **more: Any) -> tuple[Learner, list[Event]]:
    model = build(name, spec)
    events = list(fit(model, Loader(spec, fixed=fixed), settings(model, steps, **more), key=("contract",)))
    return model.eval(), events


def bits(model: Learner) -> dict[str, Tensor]:
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {key for key in before if not torch.equal(before[key], after[key])}


def owned(model: Learner, *names: str) -> set[str]:
    """Weights of the named players, and the buffers of their modules."""
    model.set_training(*names)
    moving = {id(p) for name in names for p in model.players()[name]}
    keys = {key for key, p in model.named_parameters() if id(p) in moving}
    for prefix, module in model.named_modules():
        if module.training and module is not model:
            keys |= {f"{prefix}.{key}" for key, _ in module.named_buffers(recurse=False)}
    keys |= {key for key, _ in model.named_buffers(recurse=False)}
    return keys


@pytest.mark.parametrize("name", NAMES)
def test_declaration(name: str) -> None:
    kind = models.find(name)
    assert kind.__doc__
    assert set(kind.modalities) <= SPECS.keys()
    assert kind.Config.model_config.get("frozen")
    assert kind.Config.model_config.get("extra") == "forbid"
    model = build(name, next(iter(specs(kind).values())))
    players = model.players()
    assert settings(model, 1).lr.keys() == players.keys()
    parameters = [id(p) for own in players.values() for p in own]
    assert len(parameters) == len(set(parameters)), "a parameter with two players"
    assert set(parameters) == {id(p) for p in model.parameters() if p.requires_grad}, "a parameter without a player"
    assert sum(p.numel() for p in model.parameters()) < 200_000, "the default Config is the tests' tiny model"


@pytest.mark.parametrize(("name", "spec"), CASES)
def test_learns_one_batch(name: str, spec: Spec) -> None:
    batch = Loader(spec, fixed=True).batch("fit", 0)

    def error(model: Learner) -> float:
        torch.manual_seed(3)
        with torch.no_grad():
            if isinstance(model, GenerativeModel) and model.likelihood != "none":
                return model.measure(batch)["nll"].mean().item()
            if isinstance(model, GenerativeModel):
                return (model.sample(64).float().mean(0) - batch.x.float().mean(0)).square().mean().item()
            return sum(loss.item() for losses in model.losses(batch, Clock("fit", 0, 1)) for loss in losses.values())

    before, after = error(build(name, spec).eval()), error(trained(name, spec, 120, fixed=True)[0])
    assert after < 0.95 * before if before > 0 else after < before - 0.1


@pytest.mark.parametrize(("name", "spec"), CASES)
def test_only_named_players_move(name: str, spec: Spec) -> None:
    model, now, seen = build(name, spec), set(), set()
    original = model.losses
    for player, parameters in model.players().items():
        for p in parameters:
            p.register_post_accumulate_grad_hook(lambda _, player=player: seen.add(player))  # type: ignore[misc]

    def watched(batch: Batch, clock: Clock) -> Iterator[dict[str, Tensor]]:
        before = bits(model)
        for losses in original(batch, clock):
            named = tuple(losses)
            now.update(named)
            seen.clear()
            yield losses
            assert seen == set(named), "a gradient landed on a player that was not named"
            after = bits(model)
            assert changed(before, after) <= owned(model, *named)
            assert changed(before, after) & {k for k, _ in model.named_parameters()}, "nothing moved"
            before = after

    model.losses = watched  # type: ignore[method-assign]
    list(fit(model, Loader(spec), settings(model, 3, ema=0.0, warmup=0.0), key=("players",)))
    assert now == {player for player, parameters in model.players().items() if parameters}


@pytest.mark.parametrize(("name", "spec"), CASES)
def test_same_seed_same_losses(name: str, spec: Spec) -> None:
    (a, first), (b, second) = trained(name, spec, 4), trained(name, spec, 4)
    assert first == second
    assert not changed(bits(a), bits(b))


@pytest.mark.parametrize(("name", "spec"), CASES)
def test_bfloat16_is_finite(name: str, spec: Spec) -> None:
    model, events = trained(name, spec, 3, precision="bf16")
    assert events[-1].skipped == 0
    assert all(tensor.isfinite().all() for tensor in bits(model).values())


@pytest.mark.parametrize(("name", "spec"), CASES)
def test_save_and_load(name: str, spec: Spec, tmp_path: Path) -> None:
    model, _ = trained(name, spec, 2)
    checkpoint.save(tmp_path / "a", model, {})
    loaded = checkpoint.load(tmp_path / "a")
    checkpoint.save(tmp_path / "b", loaded, {})
    for file in ("weights.safetensors", "model.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert not changed(bits(model), bits(loaded))
    batch = Loader(spec).batch("fit", 0)
    for act in acts(model, batch):
        assert torch.equal(repeated(model, act, batch), repeated(loaded, act, batch)), act


def acts(model: Learner, batch: Batch) -> list[str]:
    """Names of what the model can do with a batch that gives a tensor."""
    kinds = {"reconstruct": abilities.Reconstructs, "classify": abilities.Classifies, "embed": abilities.Embeds}
    found = [act for act, kind in kinds.items() if isinstance(model, kind)]
    if isinstance(model, GenerativeModel):
        found += ["sample"] + ["measure"] * (model.likelihood != "none")
    return found


@torch.no_grad()
def repeated(model: Any, act: str, batch: Batch) -> Tensor:
    torch.manual_seed(11)
    if act == "sample":
        return model.sample(len(batch), batch.cond)  # type: ignore[no-any-return]
    out = getattr(model, act)(batch)
    return out["nll"] if isinstance(out, dict) else out


@pytest.mark.parametrize(("name", "spec"), CASES)
def test_what_it_gives(name: str, spec: Spec) -> None:
    model, _ = trained(name, spec, 2)
    batch, before = Loader(spec).batch("fit", 0), bits(model)
    n = len(batch)
    if isinstance(model, GenerativeModel):
        for count in (1, 3):
            fits(model.sample(count, batch.cond[:count] if batch.cond is not None else None), count, spec)
        fits(model.sample(2), 2, spec)
        with torch.no_grad():
            measured = model.measure(batch)
        assert ("nll" in measured) == (model.likelihood != "none")
        assert all(v.shape == (n,) and v.dtype.is_floating_point and v.isfinite().all() for v in measured.values())
        for panel in model.panels(batch).values():
            assert panel.shape[1:] == spec.shape or panel.shape[2:] == spec.shape, "items, or rows and columns of them"
    if isinstance(model, abilities.Reconstructs):
        assert model.reconstruct(batch).shape == batch.x.shape
    if isinstance(model, abilities.Classifies):
        assert model.classify(batch).shape == (n, spec.classes)
    if isinstance(model, abilities.Embeds):
        z = model.embed(batch)
        assert z.shape[0] == n
        assert z.dtype == torch.float32
        if isinstance(model, abilities.Decodes):
            assert model.decode(z).shape == batch.x.shape
    if isinstance(model, abilities.Translates):
        assert batch.cond is not None
        made = model.translate(batch.cond, batch.cond_mask)
        fits(made, n, spec)
        assert torch.equal(made, model.translate(batch.cond, batch.cond_mask)), "a translation is the same every time"
    if isinstance(model, abilities.Forecasts):
        assert batch.cond is not None
        ahead = model.forecast(batch.cond, 3, (0.1, 0.5, 0.9))
        assert ahead.shape == (n, 3, 3, spec.shape[-1])
        assert (ahead.diff(dim=1) > 0).all()
    assert not changed(before, bits(model)), "evaluation moved a weight or a buffer"


def fits(x: Tensor, n: int, spec: Spec) -> None:
    assert x.shape == (n, *spec.shape)
    if spec.levels is None:
        assert x.dtype == (torch.float64 if len(spec.shape) == 2 else torch.float32)  # a series, or an image
        assert x.isfinite().all()
    else:
        assert x.dtype == torch.int64
        assert x.min() >= 0
        assert x.max() < spec.levels


@pytest.mark.parametrize(("name", "spec"), EXACT)
def test_samples_are_measured_one_by_one(name: str, spec: Spec) -> None:
    """In evaluation a sample's figure does not depend on what else is in the batch."""
    model, _ = trained(name, spec, 2)
    assert isinstance(model, GenerativeModel)
    batch = Loader(spec).batch("fit", 0)
    with torch.no_grad():
        whole = model.measure(batch)["nll"]
        for i in range(len(batch)):
            cond = batch.cond[i : i + 1] if batch.cond is not None else None
            assert torch.allclose(model.measure(Batch(batch.x[i : i + 1], cond=cond))["nll"], whole[i : i + 1])


@pytest.fixture(scope="module")
def trainings() -> Iterator[subprocess.Popen[str]]:
    """A process that starts a training for each line it is sent."""
    command = [sys.executable, str(HERE / "killed.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


@pytest.mark.parametrize(("name", "example"), FIRST)
def test_killed_training_continues_to_the_same_bits(
    name: str, example: tuple[str, Spec], tmp_path: Path, trainings: subprocess.Popen[str]
) -> None:
    label, spec = example
    steps, path = 40, tmp_path / "state.safetensors"
    whole, events = trained(name, spec, steps)
    if not any(whole.players().values()):
        return  # fitted at once: there is no step to be killed at
    assert trainings.stdin is not None and trainings.stdout is not None
    print(name, label, path, steps, sep="\t", file=trainings.stdin, flush=True)
    for line in trainings.stdout:
        pid, _, step = line.split("\t")
        if int(step) >= steps // 2:
            os.kill(int(pid), signal.SIGKILL)
            break
    ended = next(line for line in trainings.stdout if line.startswith("ended"))
    assert int(ended.split("\t")[1]) == -signal.SIGKILL
    again = build(name, spec, seed=99)
    state = State.load(path, again)
    assert steps // 2 <= state.step < steps
    rest = list(fit(again, Loader(spec), settings(again, steps), key=("contract",), state=state))
    assert rest
    assert state.events == events
    folders = [checkpoint.save(tmp_path / which, model, {}) for which, model in (("a", whole), ("b", again))]
    assert folders[0] == folders[1]
    assert (tmp_path / "a/weights.safetensors").read_bytes() == (tmp_path / "b/weights.safetensors").read_bytes()
