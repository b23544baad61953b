"""Classical rows against their closed forms, and that they learn from nothing that a task's models do not see."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf, ledoit_wolf_shrinkage

from genfoundry.data.label_subsets import keep_labels
from genfoundry.data.splits.images import ImageSplit
from genfoundry.data.splits.lines import LineSplit
from genfoundry.data.splits.text import TextSplit
from genfoundry.evaluation.baselines import base, classes, classical_restoration, pixel_contexts
from genfoundry.evaluation.baselines.gaussian import ROUNDING, Gaussian, LinearAR
from genfoundry.evaluation.baselines.nearest_neighbours import Neighbours
from genfoundry.evaluation.card import describe_baseline
from genfoundry.evaluation.inverse_problem import SIGMA, pose_problem
from genfoundry.files import write_json
from genfoundry.reporting import leaderboard
from genfoundry.reporting.site import table as site_table
from genfoundry.types import Spec

TOP = 255


def draws(n: int, side: int = 6, seed: int = 0) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(n, side^2) of a Gaussian whose pixels are the more alike the nearer they are."""
    at = np.array(list(itertools.product(range(side), repeat=2)))
    gaps = np.square(at[:, None] - at).sum(2)
    return np.random.default_rng(seed).multivariate_normal(np.full(side**2, 128.0), 900 * np.exp(-gaps / 8), n)


def images(x: np.ndarray[Any, Any], name: str, label: torch.Tensor | None = None, classes: int = 0) -> ImageSplit:
    side = int(x.shape[1] ** 0.5)
    values = torch.from_numpy(x.round().clip(0, TOP).astype(np.uint8)).view(-1, 1, side, side)
    label = torch.full((len(x),), -1) if label is None else label
    return ImageSplit(name, {"x": values, "label": label}, Spec((1, side, side), TOP + 1, classes))


def rows(train: Any, *held: Any, modality: str = "images", **asked: Any) -> dict[str, base.Baseline]:
    splits = {split.name: split for split in held}
    known = base.BaselineInputs(train, splits, dict.fromkeys(splits, 10))
    return {row.name: row for row in base.fit_baselines(replace(known, **asked), modality)}


@pytest.mark.parametrize(("n", "dims"), [(30, 50), (400, 12)])
def test_the_covariance_is_ledoit_and_wolfs(n: int, dims: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, dims)) @ rng.normal(size=(dims, dims)) + 5
    found, (want, shrinkage) = Gaussian.fit(x, 0.0), ledoit_wolf(x)
    np.testing.assert_allclose(found.axes @ found.axes.T + found.floor * np.eye(dims), want, atol=1e-8)
    assert shrinkage == pytest.approx(ledoit_wolf_shrinkage(x - x.mean(0)))
    np.testing.assert_allclose(found.mean, x.mean(0))


@pytest.mark.parametrize("rank", [3, 12])
def test_the_posterior_mean_is_the_closed_form(rank: int) -> None:
    """Whichever of the two systems is solved, for noise of each kind at once."""
    rng = np.random.default_rng(1)
    found = Gaussian(rng.normal(size=12), rng.normal(size=(12, rank)), 0.5)
    covariance = found.axes @ found.axes.T + 0.5 * np.eye(12)
    for noise in (np.full(12, 2.0), np.array([0.0, 0.3, np.inf] * 4), np.array([np.inf] * 8 + [0.0] * 4)):
        y, seen, gain, offset = rng.normal(size=(5, 12)), np.isfinite(noise), 0.8, 1.5
        own = gain**2 * covariance[np.ix_(seen, seen)] + np.diag(noise[seen])
        across = gain * covariance[:, seen] @ np.linalg.inv(own)
        want = found.mean + (y[:, seen] - gain * found.mean[seen] - offset) @ across.T
        np.testing.assert_allclose(found.posterior_mean(y, noise[None], gain, offset), want, atol=1e-9)


def test_missing_values_are_the_conditional_mean_each_item_with_its_own_mask() -> None:
    x, rng = draws(300), np.random.default_rng(2)
    gaussian, known = Gaussian.fit(x), rng.random((7, 36)) < 0.5
    covariance = gaussian.axes @ gaussian.axes.T + gaussian.floor * np.eye(36)
    found = gaussian.posterior_mean(x[:7], np.where(known, 0.0, np.inf))
    for row, item, k in zip(found, x, known, strict=False):
        want = gaussian.mean[~k] + covariance[np.ix_(~k, k)] @ np.linalg.solve(
            covariance[np.ix_(k, k)], item[k] - gaussian.mean[k]
        )
        np.testing.assert_allclose(row[~k], want, atol=1e-6)
        np.testing.assert_allclose(row[k], item[k], atol=1e-6)


@pytest.mark.parametrize("damage", ["gaussian", "salt_pepper", "mask", "complete"])
def test_linear_restoration_beats_the_mean_and_the_identity(damage: str) -> None:
    train, test = images(draws(2000), "train"), images(draws(100, seed=1), "test")
    posed = pose_problem(test, damage)

    def error(x: torch.Tensor) -> float:
        return float((x - posed.clean).square().mean())

    name = "wiener filter" if posed.mask is None else "gaussian conditional mean"
    found = error(classical_restoration.restoration_methods(train, damage)[name](posed.x, posed.mask, posed.levels))
    mean = train.tensor.float().mean(0)
    assert found < 0.9 * error(mean if posed.mask is None else torch.where(posed.mask, posed.x, mean))
    assert found < error(posed.x)


def test_the_wiener_filter_has_the_error_of_the_best_estimate() -> None:
    """Of Gaussian items in Gaussian noise that is the posterior's variance, by the true covariance."""
    at = np.array(list(itertools.product(range(6), repeat=2)))
    true = 900 * np.exp(-np.square(at[:, None] - at).sum(2) / 8) + np.eye(36) * ROUNDING
    sigma = SIGMA * TOP
    best = np.trace(true - true @ np.linalg.solve(true + sigma**2 * np.eye(36), true)) / 36
    train, clean = images(draws(20_000), "train"), draws(4000, seed=3)
    noisy = clean + np.random.default_rng(4).normal(0, sigma, clean.shape)
    x = torch.from_numpy(noisy).float().view(-1, 1, 6, 6)
    found = (
        classical_restoration.restoration_methods(train, "gaussian")["wiener filter"](x, None, TOP + 1)
        .flatten(1)
        .numpy()
    )
    assert np.square(found - clean).mean() == pytest.approx(best, rel=0.03)


@pytest.mark.parametrize("damage", ["gaussian", "salt_pepper", "mask", "complete"])
def test_neighbours_are_training_items_alone_and_not_the_item_itself(damage: str) -> None:
    """Items in pairs of one group: a search that saw its own item or group would take the one nearest."""
    x = draws(120)
    train = images(np.concatenate([x, x + 1]), "train")
    train.groups = torch.arange(120).repeat(2)  # type: ignore[attr-defined]
    found = classical_restoration.restoration_methods(train, damage)["k nearest items"]
    learnt = found.__self__  # type: ignore[attr-defined]
    assert learnt._neighbours.k > 2
    items = {item.numpy().tobytes() for item in train.tensor.float().flatten(1)}
    assert {item.numpy().tobytes() for item in learnt._neighbours.items} == items
    one = images(draws(3, seed=5), "gate")
    alone, all_three = (pose_problem(one, damage) for _ in range(2))
    first = found(alone.x[:1], None if alone.mask is None else alone.mask[:1], TOP + 1)
    assert torch.allclose(first, found(all_three.x, all_three.mask, TOP + 1)[:1])  # others of the split change nothing


def test_the_nearest_are_nearest_on_what_is_known() -> None:
    items = torch.tensor([[0.0, 0, 9, 9], [1, 1, 0, 0], [5, 5, 1, 1]])
    known = torch.tensor([[True, True, False, False]])
    restored = Neighbours(items, 2).restore(torch.tensor([[0.4, 0.4, 0, 0]]), known)
    assert torch.allclose(restored, torch.tensor([[0.4, 0.4, 4.5, 4.5]]))
    whole = Neighbours(items, 1).restore(torch.tensor([[1.0, 1, 1, 1]]), None)
    assert whole.tolist() == [[1, 1, 0, 0]]


def test_a_linear_likelihood_has_mass_one() -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(200, 1)) * 2 + rng.normal(size=(200, 3)) + 2).round().clip(0, 4).astype(np.int64)
    histogram = np.stack([np.bincount(column, minlength=5) + 1 for column in x.T]) / 205
    model = LinearAR.fit(x, histogram)
    everything = np.array(list(itertools.product(range(5), repeat=3)))
    assert np.exp(-model.nll(everything)).sum() == pytest.approx(1, abs=1e-12)
    assert 0 < model.weight < 1
    independent = -np.log(np.take_along_axis(histogram.T, x, 0)).sum(1).mean()
    assert model.nll(x).mean() < independent - 0.1  # its pixels hang together
    assert np.isfinite(model.nll(np.array([[0, 4, 0]]))).all()


def test_a_fine_linear_likelihood_is_the_gaussian_density() -> None:
    x = draws(3000, 2).round().astype(np.int64)
    model = replace(LinearAR.fit(x, np.full((4, 256), 1 / 256)), weight=0.0)
    density = multivariate_normal(model.mean, model.factor @ model.factor.T).logpdf(x[:500])
    np.testing.assert_allclose(-model.nll(x[:500]), density, atol=0.02)


@pytest.mark.parametrize("offsets", [pixel_contexts.WIDE, pixel_contexts.PAST], ids=["wide", "past"])
def test_counted_contexts_have_mass_one(offsets: Any) -> None:
    rng = np.random.default_rng(0)
    spec = Spec((1, 3, 3), 2)
    items = torch.from_numpy((rng.random((60, 1, 3, 3)) < 0.3).astype(np.uint8))
    every = ((torch.arange(512)[:, None] // 2 ** torch.arange(9)) % 2).view(512, 1, 3, 3).to(torch.uint8)
    train, all_ = (
        ImageSplit(name, {"x": x, "label": torch.full((len(x),), -1)}, spec)
        for name, x in (("train", items), ("all", every))
    )
    assert torch.exp(-pixel_contexts.ContextModel(train, offsets).predict(all_)["nll"]).sum() == pytest.approx(1)


def labelled(n: int, seed: int, name: str) -> ImageSplit:
    """Two classes that a line does not part: the inside and the outside of a ring."""
    rng, half = np.random.default_rng(seed), n // 2
    radius = np.concatenate([np.full(half, 20.0), np.full(n - half, 90.0)])
    angle = rng.random(n) * 2 * np.pi
    x = 128 + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)] * 2, 1) + rng.normal(0, 4, (n, 4))
    return images(x, name, torch.tensor([0] * half + [1] * (n - half)), 2)


def test_classifiers_see_the_labels_that_the_models_see_and_no_others() -> None:
    train, test = labelled(400, 0, "train"), labelled(200, 1, "test")
    asked: dict[str, Any] = {"objective": "accuracy", "dataset": "rings", "labels": 60}
    found = {name: row.predict(test)["classes"] for name, row in rows(train, test, **asked).items()}
    assert list(found) == ["majority-class", "logistic-regression", "rbf-svm"]
    assert (found["rbf-svm"] == test.label).double().mean() > 0.97
    assert (found["logistic-regression"] == test.label).double().mean() < 0.8
    seen = keep_labels(train, 60, "rings", 0).label
    for wrong in (-1, 1):  # the labels that are hidden may be anything, and so may their images
        other = labelled(400, 0, "train")
        other.label = torch.where(seen >= 0, train.label, wrong)
        other.tensor[seen < 0] = 7
        spoiled = keep_labels(train, 60, "rings", 0)
        spoiled.label, spoiled.tensor = seen, other.tensor
        known = base.BaselineInputs(spoiled, {"test": test}, {"test": 10}, objective="accuracy", dataset="rings")
        again = {row.name: row.predict(test)["classes"] for row in classes.fit_classifiers(known)}
        assert all(torch.equal(again[name], found[name]) for name in found)


def test_many_labels_are_a_sample_of_them_and_the_name_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "MAX_ITEMS", 50)
    train, test = labelled(400, 0, "train"), labelled(50, 1, "test")
    assert list(rows(train, test, objective="accuracy")) == ["majority-class", "logistic-regression-50", "rbf-svm-50"]


def test_folds_hold_whole_groups() -> None:
    y, group = np.tile([0, 1], 30), np.repeat(np.arange(12), 5)
    for kept, held in classes.make_folds(y, group, 0):
        assert not set(group[kept]) & set(group[held])
    assert classes.make_folds(np.array([0, 0, 1]), np.arange(3), 0) == []


def test_xz_is_left_out_where_items_are_coded_by_each_other() -> None:
    train, test = images(draws(40), "train"), images(draws(20, seed=1), "test")
    assert rows(train, test)["xz"].predict(test)["nll"].shape == (1,)
    test.groups = torch.arange(20) // 5  # type: ignore[attr-defined]
    row = rows(train, test)["xz"]
    assert row.predict(test) == {}
    assert row.likelihood == "none"
    absent = describe_baseline(row)["absent"]
    assert {"bits_per_dim", "nats_per_sample"} <= set(absent)
    assert "no likelihood of an item" in absent["bits_per_dim"]
    assert rows(train, test)["png"].predict(test)["nll"].shape == (20,)


def test_xz_of_text_is_set_against_reading_in_one_go_alone() -> None:
    whole = torch.from_numpy(np.random.default_rng(0).integers(0, 4, 4000)).to(torch.uint8)
    train, test = (TextSplit(name, {"x": whole, "start": torch.zeros(1)}, Spec((32,), 4)) for name in ("train", "test"))
    found = rows(train, test, modality="text", alphabet="abcd")
    assert list(found) == ["unigram", "5-gram", "6-gram", "xz"]
    assert set(found["xz"].predict(test)) == {"nll_carried"}
    absent = describe_baseline(found["xz"])["absent"]
    assert "nats_per_char" in absent and "nats_per_char_carried" not in absent


def test_six_characters_are_counted_where_five_do_not_tell() -> None:
    """A digit after six that are alike: the sixth before it tells which."""
    line = torch.tensor([1, 2, 2, 2, 2, 1, 3, 2, 2, 2, 2, 3] * 5, dtype=torch.uint8)
    whole = torch.zeros(50, 64, dtype=torch.uint8)
    whole[:, : len(line)] = line
    split = LineSplit("train", {"x": whole}, Spec((64,), 4))
    found = rows(split, split, modality="lines", alphabet="\nabc")
    assert found["6-gram"].role == "reference"
    assert found["6-gram"].predict(split)["nll"].mean() < found["5-gram"].predict(split)["nll"].mean()


def test_roles_tell_what_need_not_be_beaten() -> None:
    train, test = images(draws(40), "train"), images(draws(20, seed=1), "test")
    roles = {name: row.role for name, row in rows(train, test).items()}
    assert roles["real-against-real"] == "floor"
    assert roles["training-copy"] == "copy"
    assert set(roles.values()) == {"floor", "copy", "ceiling", "baseline", "compressor"}


def test_the_reason_for_an_absent_figure_stands_in_its_cell(tmp_path: Path) -> None:
    row = base.Baseline("xz", "compressor", "none", lambda split: {}, "no likelihood of an item: why")
    xz = describe_baseline(row)
    png = {"role": "compressor", "likelihood": "bound", "figures": {"test": {"bits_per_dim": 3.0}}}
    about = {"dataset": "photos", "levels": 256, "binarise": None, "labels": None, "data": "d", "judge": None}
    card = {**about, "task": "t", "rows": {"png": png, "xz": {**xz, "figures": {"test": {"n": 20}}}}}
    write_json(tmp_path / "baselines/t/card.json", card)
    (table,) = leaderboard.build(tmp_path / "scores", tmp_path / "baselines", tmp_path / "ranking")["tables"]
    (cell,) = next(row for row in site_table.layout(table)["rows"] if row["name"] == "xz")["cells"]
    assert (cell.value, cell.text) == (None, "no likelihood of an item")
    assert cell.tooltip.endswith(": why")
