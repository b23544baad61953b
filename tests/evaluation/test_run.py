"""Answers and scores follow from abilities: hand-made models, splits and judges; alignment by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from genfoundry.errors import UserError
from genfoundry.evaluation import judge as evaluation_judge
from genfoundry.evaluation import run
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.cache import Shared
from genfoundry.evaluation.context import EvalContext, SplitContext
from genfoundry.evaluation.metrics.forecast_errors import warp_distance
from genfoundry.evaluation.metrics.frechet import frechet_distance
from genfoundry.evaluation.objectives import find_objective
from genfoundry.evaluation.predict import predict, score
from genfoundry.files import read_json
from genfoundry.models.base import GenerativeModel, Hyper, Learner
from genfoundry.reporting import leaderboard, site
from genfoundry.tracking import cost_log
from genfoundry.types import Batch, Draw, Spec


class Items:
    """A split of images or of series windows held in memory."""

    def __init__(self, x: Tensor, spec: Spec, cond: Tensor | None = None, name: str = "test") -> None:
        self.x, self.spec, self.cond, self.name = x, spec, cond, name
        self.tensor = x
        self.groups = torch.arange(len(x))

    def __len__(self) -> int:
        return len(self.x)

    def eval_batch(self, index: Tensor) -> Batch:
        label = (self.x[index].flatten(1).double().mean(1) > 0.5).long()
        return Batch(self.x[index], self.cond[index] if self.cond is not None else None, label=label)


class Coin(GenerativeModel):
    """Independent fair bits, and noise in what it measures, as a bound has."""

    likelihood = "bound"

    def measure(self, batch: Batch) -> dict[str, Tensor]:
        noise = torch.rand(len(batch))
        return {"nll": torch.full((len(batch),), self.spec.dims * math.log(2)) + noise, "rate": noise}

    def sample(self, n: int, cond: Tensor | None = None, label: Tensor | None = None, draw: Draw = Draw()) -> Tensor:
        return torch.randint(self.spec.levels or 2, (n, *self.spec.shape))


class Mute(Coin):
    likelihood = "none"


class Seer(GenerativeModel):
    likelihood = "none"

    def forecast(self, cond: Tensor, horizon: int, quantiles: tuple[float, ...]) -> Tensor:
        middle = cond[:, -1:].expand(-1, horizon, -1)
        return torch.stack([middle + (q - 0.5) * 10 for q in quantiles], 1)


class Mean(Learner):
    """A judge whose features are the mean and the first value of an image."""

    kind = "classes"

    def prepare_batch(self, batch: Batch) -> Batch:
        return batch

    def features(self, x: Tensor) -> Tensor:
        flat = x.flatten(1).float()
        return torch.stack((flat.mean(1), flat[:, 0]), 1)

    def classify(self, batch: Batch) -> Tensor:
        mean = batch.x.flatten(1).float().mean(1)
        return torch.stack((0.5 - mean, mean - 0.5), 1)


BITS = Spec((1, 4, 4), 2, classes=2)


def bits(n: int = 450, name: str = "test") -> Items:
    return Items(torch.randint(2, (n, 1, 4, 4), generator=torch.Generator().manual_seed(0)), BITS, name=name)


def test_answers_of_a_bound() -> None:
    found = predict(Coin(BITS, Hyper()), SplitContext(split=bits(), samples=300, seed=1))
    assert {k: tuple(v.shape) for k, v in found.items()} == {
        "nll": (450,),
        "rate": (450,),
        "samples": (300, 1, 4, 4),
    }
    assert found["nll"].dtype == torch.float64
    assert found["samples"].dtype == torch.uint8


def test_answers_are_counted() -> None:
    model, split = Coin(BITS, Hyper()), bits()
    first = predict(model, SplitContext(split=split, samples=10, seed=1))
    torch.rand(5)
    again = predict(model, SplitContext(split=split, samples=10, seed=1))
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["nll"], predict(model, SplitContext(split=split, samples=10, seed=2))["nll"])
    other = predict(model, SplitContext(split=bits(name="val"), samples=10, seed=1))
    assert not torch.equal(first["nll"], other["nll"])


def test_answers_for_an_objective_alone() -> None:
    model = Coin(BITS, Hyper())
    context = SplitContext(split=bits(), samples=10, seed=1)
    for name, given in (("nats", {"nll", "rate"}), ("frechet", {"samples"}), ("accuracy", set())):
        assert set(predict(model, context, [find_objective(name)])) == given


def test_a_model_without_likelihood_only_samples() -> None:
    assert set(predict(Mute(BITS, Hyper()), SplitContext(split=bits(), samples=10, seed=1))) == {"samples"}
    assert len(predict(Mute(BITS, Hyper()), SplitContext(split=bits(7), samples=10, seed=1))["samples"]) == 7


def test_only_what_is_asked_for_is_computed() -> None:
    model = Coin(BITS, Hyper())
    whole = predict(model, SplitContext(split=bits(), samples=10, seed=1))
    for name, left in (("nats", "samples"), ("frechet", "nll")):
        found = predict(model, SplitContext(split=bits(), samples=10, seed=1), [find_objective(name)])
        assert left not in found
        assert found
        assert all(torch.equal(value, whole[key]) for key, value in found.items())


def test_evaluation_leaves_the_model_in_evaluation_mode() -> None:
    model = Mute(BITS, Hyper()).train()
    predict(model, SplitContext(split=bits(), samples=2, seed=1))
    assert not model.training


def test_features_of_samples_and_of_as_many_real_items() -> None:
    judge = Mean(Spec((1, 4, 4), 256, 2), Hyper())
    found = predict(Coin(BITS, Hyper()), SplitContext(split=bits(), samples=100, seed=1))
    scores = score(found, SplitContext(split=bits(), judge=judge))
    assert scores["features"].shape == scores["real"].shape == (100, 2)
    assert set(scores["features"][:, 1]) == {0.0, 255.0}  # two levels, spread over the judge's 256
    point = frechet_distance(np.zeros((100, 2)), np.asarray(scores["real"], np.float64)).value
    assert aggregate(scores, 16, "images", on_test=False)["frechet"] < point / 10
    assert "features" not in score(found, SplitContext(split=bits()))


def test_accuracy_of_a_judge() -> None:
    assert evaluation_judge.measure_accuracy(Mean(BITS, Hyper()), bits()) == 1.0
    assert evaluation_judge.measure_accuracy(Mute(BITS, Hyper()), bits()) is None


class Told(Items):
    """Bits with given labels."""

    def __init__(self, x: Tensor, label: Tensor) -> None:
        super().__init__(x, BITS)
        self.label = label

    def eval_batch(self, index: Tensor) -> Batch:
        return Batch(self.x[index], label=self.label[index])


def test_accuracy_counts_labelled_items_alone() -> None:
    x = torch.tensor([0, 0, 1, 1, 1]).view(5, 1, 1, 1).expand(5, 1, 4, 4)  # `Mean` calls them 0, 0, 1, 1, 1
    split = Told(x, torch.tensor([0, 1, 1, -1, 1]))
    found = predict(Mean(BITS, Hyper()), SplitContext(split=split, samples=3, seed=0))
    assert found.keys() == {"classes"}
    scores = score(found, SplitContext(split=split))
    assert scores["hits"].tolist() == [1, 0, 1, 1]
    assert aggregate(scores, 16, "images", on_test=False)["accuracy"] == 0.75
    assert find_objective("accuracy").value(scores, 16) == 0.75


def test_accuracy_without_labels_says_so() -> None:
    x = torch.zeros(5, 1, 4, 4).long()
    split = Told(x, torch.full((5,), -1))
    scores = score(predict(Mean(BITS, Hyper()), SplitContext(split=split)), SplitContext(split=split))
    assert "hits" not in scores
    with pytest.raises(UserError, match=r"^accuracy: cannot be computed.*no item has a label"):
        find_objective("accuracy").value(scores, 16)


def test_forecasts_are_scored_by_hand() -> None:
    x = torch.tensor([[[1.0], [2.0]], [[5.0], [1.0]]])
    past = torch.tensor([[[1.0]], [[3.0]]])
    split = Items(x, Spec((2, 1), None, cond_shape=(1, 1)), past)
    scores = score(predict(Seer(split.spec, Hyper()), SplitContext(split=split)), SplitContext(split=split))
    np.testing.assert_allclose(scores["mae"], [0.5, 2])
    np.testing.assert_allclose(scores["dtw"], [1, math.sqrt(8)])
    np.testing.assert_allclose(scores["covered"], [1, 1])


def test_warping_by_hand() -> None:
    def column(*values: float) -> np.ndarray:
        return np.array(values)[:, None]

    assert warp_distance(column(0, 1, 2, 2), column(0, 0, 1, 2)) == 0  # a delay costs nothing
    # Best alignment of (0,0,3) with (1,3,3): both zeros with the one, the three with both threes: sqrt(1 + 1).
    assert warp_distance(column(0, 0, 3), column(1, 3, 3)) == pytest.approx(math.sqrt(2))
    both = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert warp_distance(both, np.zeros((2, 2))) == pytest.approx(5)


def test_no_judge_is_none() -> None:
    assert evaluation_judge.load_judge(None) is None


class Folder:
    """What `data.base.Dataset` is to the evaluation."""

    modality = "images"
    meta: ClassVar[dict[str, Any]] = {"digest": "e" * 64, "alphabet": None, "names": ["a", "b"], "modality": "images"}

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def split(self, name: str, levels: int | None = None, binarise: str | None = None) -> Items:
        return bits(name=name)


class Reads(Coin):
    """Gives codes, reconstructs and removes noise besides."""

    damages = ("gaussian",)

    def embed(self, batch: Batch) -> Tensor:
        return batch.x.flatten(1).float()

    def decode(self, z: Tensor) -> Tensor:
        return z.view(-1, *self.spec.shape).round().clamp(0, 1)

    def prior(self, n: int) -> Tensor:
        return torch.randn(n, self.spec.dims)

    def restore(self, x: Tensor, known: Tensor | None) -> Tensor:
        return x.clamp(0, 1)


def test_an_experiment_and_the_baselines_end_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, judge = Coin(BITS, Hyper()), Mean(Spec((1, 4, 4), 2, 2), Hyper())
    model.card = {"experiment": "coin-bits", "model": "coin", "task": "t", "dataset": "bits", "digest": "a", "data": {}}
    judge.card = {"digest": "b", "accuracy": {"test": 1.0}}
    monkeypatch.setattr(run, "Dataset", Folder)
    monkeypatch.setattr(run, "load_judge", lambda folder, device="cpu": judge)
    monkeypatch.setattr(run.random_features, "load", lambda folder, device="cpu": judge)
    monkeypatch.setattr(run.checkpoint, "load", lambda folder, device: model)
    for folder in (tmp_path / "one", tmp_path / "two"):
        outs: dict[str, Any] = {"scores": folder / "s", "figures": folder / "e.json", "pictures": folder / "p"}
        run.evaluate_experiment(folder, folder, folder, **outs, objective="bits_per_dim", samples=40, seed=0)
        task: dict[str, Any] = {"dataset_name": "bits", "levels": 2, "binarise": None}
        run.evaluate_baselines("t", folder, folder, **task, out=folder / "b", samples=40, seed=0)
    card, headline = read_json(tmp_path / "one/s/card.json"), read_json(tmp_path / "one/e.json")
    flat = card["figures"]["test"]
    assert set(card["figures"]) == {"val", "gate", "test"}
    assert card["judge"] == {"digest": "b", "accuracy": 1.0, "kind": "classes"}
    assert card["absent"]["class_accuracy"] == "not class-conditional"
    assert card["seeds"]["n"] == 1
    assert {"kernel", "precision", "neighbour", "copies", "frechet_control"} <= set(flat)
    assert {"frechet_stderr", "n", "frechet_n", "rate"} <= set(flat)
    assert card["anchors"]["frechet_floor"] < card["anchors"]["frechet_ceiling"]
    assert card["likelihood"] == "bound"
    shown = {split: card["figures"][split]["bits_per_dim"] for split in ("val", "gate", "test")}
    shown |= {end: flat[f"bits_per_dim_{end}"] for end in ("low", "high")}
    assert headline == {"objective": "bits_per_dim"} | {k: pytest.approx(v, rel=1e-4) for k, v in shown.items()}
    rows = read_json(tmp_path / "one/b/card.json")["rows"]
    assert rows["independent-pixels"]["figures"]["gate"]["bits_per_dim"] == pytest.approx(1, abs=0.01)
    assert rows["pixel-means"]["figures"]["test"]["frechet"] == card["anchors"]["frechet_ceiling"]
    assert set(rows["png"]["figures"]) == {"val", "gate", "test"}  # a champion is held against it on gate
    names = sorted(str(p.relative_to(tmp_path / "one")) for p in (tmp_path / "one").rglob("*") if p.is_file())
    assert {
        "p/samples.png",
        "p/closest.png",
        "p/tiles_real.png",
        "b/independent-pixels.png",
        "s/scores.safetensors",
    } <= set(names)
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


class Half(Learner):
    """Draws nothing and has no likelihood: it tells bright images from dark ones and gives codes."""

    def classify(self, batch: Batch) -> Tensor:
        mean = batch.x.flatten(1).float().mean(1)
        return torch.stack((0.5 - mean, mean - 0.5), 1)

    def embed(self, batch: Batch) -> Tensor:
        return batch.x.flatten(1).float()


def test_a_learner_that_draws_nothing_is_measured_and_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, judge = Half(BITS, Hyper()), Mean(Spec((1, 4, 4), 2, 2), Hyper())
    model.card = {"experiment": "half", "model": "half", "task": "t", "dataset": "bits", "digest": "a" * 64, "data": {}}
    judge.card = {"digest": "b", "accuracy": {"test": 1.0}}
    monkeypatch.setattr(run, "Dataset", Folder)
    monkeypatch.setattr(run, "load_judge", lambda folder, device="cpu": judge)
    monkeypatch.setattr(run.random_features, "load", lambda folder, device="cpu": judge)
    monkeypatch.setattr(run.checkpoint, "load", lambda folder, device: model)
    reports = tmp_path / "reports"
    outs: dict[str, Any] = {"scores": reports / "scores/bits/half", "figures": reports / "evaluation/half.json"}
    outs |= {"pictures": reports / "panels/half", "objective": "accuracy"}
    run.evaluate_experiment(tmp_path, tmp_path, tmp_path, **outs, samples=40, seed=0)
    card = read_json(outs["scores"] / "card.json")
    assert card["figures"]["test"]["probe_accuracy"] > 0.9
    assert card["absent"]["frechet"] == "draws no samples"
    assert card["absent"]["auroc_constant"] == "no likelihood"
    assert {"probe_accuracy"} == card["beside"]["the raw values"].keys() - {
        f"probe_accuracy_{stated}" for stated in ("low", "high", "n", "groups")}  # fmt: skip
    leaderboard.write(reports / "scores", reports / "baselines", reports / "ranking", reports)
    assert Path("reports/models/half.html") in site.render(tmp_path)
    assert cost_log.measure_sampling_rate(model) == {}


def test_figures_of_some_of_test_are_of_the_same_items_for_every_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, judge = Coin(BITS, Hyper()), Mean(Spec((1, 4, 4), 2, 2), Hyper())
    model.card = {"experiment": "coin-bits", "model": "coin", "task": "t", "dataset": "bits", "digest": "a", "data": {}}
    judge.card = {"digest": "b", "accuracy": {"test": 1.0}}
    monkeypatch.setattr(run, "Dataset", Folder)
    monkeypatch.setattr(run, "load_judge", lambda folder, device="cpu": judge)
    monkeypatch.setattr(run.checkpoint, "load", lambda folder, device: model)
    outs: dict[str, Any] = {"scores": tmp_path / "s", "figures": tmp_path / "e.json", "pictures": tmp_path / "p"}
    run.evaluate_experiment(
        tmp_path, tmp_path, tmp_path, **outs, objective="frechet", samples=40, seed=0, test_items=120
    )
    out = tmp_path / "b"
    task: dict[str, Any] = {"dataset_name": "bits", "levels": 2, "binarise": None}
    run.evaluate_baselines("t", tmp_path, tmp_path, **task, out=out, samples=40, seed=0, test_items=120)
    own, rows = read_json(tmp_path / "s/card.json")["figures"], read_json(out / "card.json")["rows"]
    assert [own[name]["n"] for name in ("val", "gate", "test")] == [450, 450, 120]
    assert {row["figures"]["test"]["n"] for row in rows.values()} == {120}


class Shifted(Mean):
    """The same weights, read by other code."""

    def features(self, x: Tensor) -> Tensor:
        return super().features(x) + 1


def test_what_evaluations_share_changes_no_byte_whatever_was_evaluated_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def evaluated(where: str, shared: Shared | None, kind: type[Mean] = Mean, test_items: int = 90) -> dict[str, bytes]:
        model, judge = Reads(BITS, Hyper()), kind(Spec((1, 4, 4), 2, 2), Hyper())
        model.card = {"experiment": "coin", "model": "coin", "task": "t", "dataset": "bits", "digest": "a", "data": {}}
        judge.card = {"digest": "b", "accuracy": {"test": 1.0}}
        monkeypatch.setattr(run, "load_judge", lambda folder, device="cpu": judge)
        monkeypatch.setattr(run.random_features, "load", lambda folder, device="cpu": judge)
        monkeypatch.setattr(run.checkpoint, "load", lambda folder, device: model)
        folder = tmp_path / where
        outs: dict[str, Any] = {"scores": folder / "s", "figures": folder / "e.json", "pictures": folder / "p"}
        outs |= {"objective": "frechet", "test_items": test_items, "shared": shared}
        run.evaluate_experiment(folder, folder, folder, **outs, samples=40, seed=0)
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    monkeypatch.setattr(run, "Dataset", Folder)
    kept = {code: Shared(tmp_path / "shared", (code,)) for code in ("old", "new")}  # the digest of what evaluates
    for code, other in (("old", {}), ("old", {"test_items": 120}), ("new", {"kind": Shifted})):
        alone = evaluated("alone", None, **other)
        assert evaluated("cold", kept[code], **other) == alone, other
        assert evaluated("warm", Shared(tmp_path / "shared", (code,)), **other) == alone, other


def test_items_at_the_data_s_own_levels_are_those_of_the_split() -> None:
    from genfoundry.data.dataset import Subset

    part = Subset(bits(), 70)
    context = EvalContext(dataset=Folder(Path()), train=bits(name="train"), split=part)  # type: ignore[arg-type]
    assert len(context.raw_split) == 70
    assert torch.equal(context.raw_split.eval_batch(torch.arange(70)).x, part.eval_batch(torch.arange(70)).x)
