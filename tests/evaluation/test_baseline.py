"""Trivial models: probabilities sum to one, code lengths of known inputs, anchors where they should be."""

from __future__ import annotations

import lzma
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from genfoundry.data.iterate import sample_indices
from genfoundry.data.splits import series
from genfoundry.data.transforms import seasonality
from genfoundry.evaluation.baselines import base, compressors, exponential_smoothing
from genfoundry.evaluation.baselines.independent_pixels import IndependentPixels
from genfoundry.evaluation.baselines.ngram import NGram
from genfoundry.evaluation.context import SplitContext
from genfoundry.evaluation.inverse_problem import pose_problem
from genfoundry.evaluation.predict import score
from genfoundry.splits import Split
from genfoundry.types import Batch, Spec


@dataclass
class Items:
    """A split of whole items, or of windows of text."""

    name: str
    tensor: torch.Tensor
    spec: Spec

    def __len__(self) -> int:
        if len(self.spec.shape) == 3:
            return len(self.tensor)
        return (len(self.tensor) - self._past) // self.spec.shape[0]

    @property
    def groups(self) -> torch.Tensor:
        return torch.arange(len(self))

    @property
    def _past(self) -> int:
        return self.spec.cond_shape[0] if self.spec.cond_shape else 0

    def eval_batch(self, index: torch.Tensor) -> Batch:
        if len(self.spec.shape) == 3:
            return Batch(self.tensor[index].long())
        start = index[:, None] * self.spec.shape[0] + self._past
        x = self.tensor[start + torch.arange(self.spec.shape[0])]
        return Batch(x, self.tensor[start + torch.arange(-self._past, 0)] if self._past else None)


class Labelled(Items):
    label: torch.Tensor

    def eval_batch(self, index: torch.Tensor) -> Batch:
        return Batch(self.tensor[index].long(), label=self.label[index])


def cut(x: torch.Tensor, at: int, spec: Spec) -> tuple[series.SeriesSplit, series.SeriesSplit]:
    """Values (L, D) as train, up to row `at`, and test."""
    context = spec.cond_shape[0] if spec.cond_shape else 0
    season = torch.tensor([seasonality.find_season(x[:at].numpy(), context)])
    known = {"season": season, "scale": torch.ones(x.shape[1], dtype=torch.float64)}
    train = {"x": x[:at], "past": x[:0], "first": torch.tensor([0]), **known}
    test = {"x": x[at:], "past": x[at - context : at], "first": torch.tensor([at]), **known}
    return series.SeriesSplit("train", train, spec), series.SeriesSplit("test", test, spec)


def images(n: int, levels: int, shape: tuple[int, int, int] = (1, 4, 4), seed: int = 0, name: str = "train") -> Items:
    draw = torch.Generator().manual_seed(seed)
    return Items(name, torch.randint(levels, (n, *shape), generator=draw).to(torch.uint8), Spec(shape, levels, 2))


def scores_of(train: Any, test: Any) -> dict[str, Any]:
    """Baseline of a series -> its scores on test."""
    context = SplitContext(split=test)
    return {row.name: score(row.predict(test), context) for row in base.fit_baselines(known(train, test), "series")}


def known(train: Split, *held: Split, n: int = 20, alphabet: str = "") -> base.BaselineInputs:
    splits = {split.name: split for split in held}
    return base.BaselineInputs(train, splits, dict.fromkeys(splits, n), 0, alphabet)


def test_independent_pixels_sum_to_one() -> None:
    values = np.random.default_rng(0).integers(0, 3, (20, 2))
    model = IndependentPixels(values, 3)
    np.testing.assert_allclose(model.probability.sum(1), 1)
    everything = np.array([[a, b] for a in range(3) for b in range(3)])
    assert np.exp(-model.nll(everything)).sum() == pytest.approx(1)


def test_independent_pixels_are_the_smoothed_histogram() -> None:
    values = np.array([[0, 1], [0, 1], [2, 1]])
    nll = IndependentPixels(values, 3).nll(np.array([[0, 1], [1, 0]]))
    np.testing.assert_allclose(nll, [-math.log(3 / 6) - math.log(4 / 6), -math.log(1 / 6) - math.log(1 / 6)])


def test_independent_pixels_draw_what_they_say() -> None:
    model = IndependentPixels(np.array([[0, 2], [1, 2], [1, 2]]), 3)
    drawn = model.sample(20_000, 3)
    for pixel in range(2):
        share = np.bincount(drawn[:, pixel], minlength=3) / 20_000
        np.testing.assert_allclose(share, model.probability[pixel], atol=0.015)


@pytest.mark.parametrize("order", [1, 2, 5])
@pytest.mark.parametrize("history", [[], [0], [1, 0], [2, 2, 2, 2], [0, 1, 0, 1], [1, 2, 0, 3, 3]])
def test_ngram_sums_to_one(order: int, history: list[int]) -> None:
    text = np.random.default_rng(order).integers(0, 3, 200)
    model = NGram(text, 4, order)  # character 3 never occurs
    p = model.next_probability(np.array([history], np.int64))
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert (p > 0).all()


def test_unigram_and_bigram_by_hand() -> None:
    text = np.array([0, 1, 0, 1, 0, 0])
    one = NGram(text, 2, 1)
    p0 = (4 + 2 * 0.5) / 8  # four of six, two kinds, uniform below
    np.testing.assert_allclose(one.probability(np.array([[0, 1]])), [[p0, 1 - p0]])
    two = NGram(text, 2, 2)
    # After 0 came 1, 1, 0: three times, two kinds.
    np.testing.assert_allclose(two.probability(np.array([[0, 0]])), [[p0, (1 + 2 * p0) / 5]])


def test_ngram_windows_sum_to_one() -> None:
    model = NGram(np.random.default_rng(0).integers(0, 2, 60), 2, 3)
    everything = np.array([[i >> k & 1 for k in range(6)] for i in range(64)])
    assert np.exp(-model.nll(everything)).sum() == pytest.approx(1)


def test_ngram_learns_and_samples_structure() -> None:
    model = NGram(np.tile([0, 1, 2], 400), 3, 5)
    assert model.nll(np.tile([0, 1, 2], 10)[None])[0] / 30 < 0.1
    drawn = model.sample(2, 30, 1)
    assert (np.diff(drawn, axis=1) % 3 == 1).mean() > 0.9


def test_large_alphabets_leave_out_orders_that_overflow() -> None:
    assert len(NGram(np.arange(1000), 100_000, 5).orders) == 3


def test_compressors_on_known_input() -> None:
    values = np.random.default_rng(0).integers(0, 256, (40, 784))
    want = 8 * len(lzma.compress(values.astype(np.uint8).tobytes())) / 40
    assert compressors.xz_bits(values, 256)[0] == want
    assert want / 784 == pytest.approx(8, rel=0.01)  # noise cannot be compressed
    assert compressors.xz_bits(values % 2, 2)[0] / 784 == pytest.approx(1, rel=0.05)
    flat = np.full((3, 1, 32, 32), 7)
    assert (compressors.image_bits(flat, "png", 256) < 8 * 100).all()
    noise = values[:3].reshape(3, 1, 28, 28)
    for name in compressors.FORMATS:
        assert (compressors.image_bits(noise, name, 256) > 8 * 784 * 0.95).all()
        assert compressors.image_bits(np.repeat(noise, 3, 1), name, 256).shape == (3,)
        assert (compressors.image_bits(noise % 2, name, 2) < compressors.image_bits(noise, name, 256)).all()


@pytest.mark.parametrize(("levels", "shape"), [(256, (1, 4, 4)), (17, (1, 4, 4)), (2, (1, 4, 4)), (256, (3, 4, 4))])
def test_image_rows(levels: int, shape: tuple[int, int, int]) -> None:
    train, test = images(300, levels, shape), images(50, levels, shape, seed=1, name="test")
    val = images(40, levels, shape, seed=2, name="val")
    rows = {row.name: row for row in base.fit_baselines(known(train, val, test), "images")}
    trivial = ["real-against-real", "pixel-means", "training-copy", "pca-gaussian", "independent-pixels"]
    trivial.append("counted-context" if levels == 2 else "linear-gaussian")
    assert list(rows) == [*trivial, "png", "webp", "xz"]
    found = {name: row.predict(test) for name, row in rows.items()}
    assert {len(a["samples"]) for a in found.values() if "samples" in a} == {20}
    assert torch.equal(found["pixel-means"]["samples"][3], train.tensor.double().mean(0).round().long())
    assert found["independent-pixels"]["nll"].mean() / math.prod(shape) < math.log(levels) + 0.4
    held, seen = ({x.numpy().tobytes() for x in part.tensor.long()} for part in (val, train))
    assert {x.numpy().tobytes() for x in found["real-against-real"]["samples"].long()} <= held
    assert {x.numpy().tobytes() for x in found["training-copy"]["samples"].long()} <= seen
    again = rows["independent-pixels"].predict(test)
    assert torch.equal(again["samples"], found["independent-pixels"]["samples"])


def test_the_largest_class_is_what_accuracy_must_beat() -> None:
    label = torch.tensor([2, 0, 2, 1, -1, -1, -1])
    train, test = Labelled("train", torch.zeros(7, 1, 4, 4), Spec((1, 4, 4), 2, 3)), images(6, 2, name="test")
    train.label = label
    asked = replace(known(train, test), objective="accuracy")
    row, *others = base.fit_baselines(asked, "images")
    assert [other.name for other in others] == ["logistic-regression", "rbf-svm"]
    assert (row.name, row.role, row.likelihood) == ("majority-class", "baseline", "none")
    assert row.predict(test)["classes"].tolist() == [2] * 6


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        ("gaussian", ["identity", "median filter", "non-local means", "wiener filter", "k nearest items"]),
        ("salt_pepper", ["identity", "median filter", "wiener filter", "k nearest items"]),
        ("mask", ["identity", "biharmonic", "mean image", "gaussian conditional mean", "k nearest items"]),
    ],
)
def test_restorations_must_beat_the_classical_methods_for_their_damage(damage: str, names: list[str]) -> None:
    train, test = images(30, 17, (1, 8, 8)), images(9, 17, (1, 8, 8), seed=1, name="test")
    found = base.fit_baselines(replace(known(train, test), objective=f"restore_{damage}_psnr"), "images")
    assert [row.name for row in found] == names
    assert {(row.role, row.likelihood) for row in found} == {("baseline", "none")}
    for row in found:
        answers = row.predict(test)
        assert answers.keys() == {f"restored_{damage}"}
        assert score(answers, SplitContext(split=test))[f"restore_{damage}_psnr"].shape == (9,)
    posed = pose_problem(test, damage)
    assert torch.equal(found[0].predict(test)[f"restored_{damage}"], posed.x)


def test_text_rows() -> None:
    alphabet = "abcd"
    whole = torch.from_numpy(np.random.default_rng(0).integers(0, 4, 5000)).to(torch.uint8)
    train, test = Items("train", whole, Spec((32,), 4)), Items("test", whole[:1000], Spec((32,), 4))
    rows = {row.name: row for row in base.fit_baselines(known(train, test, alphabet=alphabet), "text")}
    assert {name: row.role for name, row in rows.items()} == {
        **{"unigram": "baseline", "5-gram": "reference", "6-gram": "reference", "xz": "compressor"}
    }
    assert rows["unigram"].predict(test)["nll"].mean() / 32 == pytest.approx(math.log(4), rel=0.01)
    assert rows["xz"].predict(test)["nll_carried"].shape == (1,)


def test_persistence_on_a_walk() -> None:
    steps = torch.from_numpy(np.random.default_rng(0).normal(0, 2, (4000, 1)))
    walk, spec = steps.cumsum(0), Spec((10, 1), None, cond_shape=(3, 1))
    train, test = cut(walk, 3000, spec)
    (row,) = base.fit_anchors(known(train, test), "series")
    found = row.predict(test)
    entropy = 0.5 * math.log(2 * math.pi * math.e * 4)
    assert found["nll"].mean() / 10 == pytest.approx(entropy, rel=0.03)
    batch = test.eval_batch(torch.tensor([5]))
    assert batch.cond is not None
    assert torch.equal(found["forecast"][5, 1], batch.cond[0, -1:].expand(10, 1))
    assert score(found, SplitContext(split=test))["covered"].mean() == pytest.approx(0.9, abs=0.06)


def test_trivial_forecasts_over_gaps_and_beside_numbers() -> None:
    """A value is the one before, a step over a gap of k - 1 has k times the variance, rows' numbers are no values."""
    draw = np.random.default_rng(0)
    x = torch.from_numpy(draw.normal(0, 2, (800, 1))).cumsum(0)
    full, spec = x[:400].clone(), Spec((4, 1), None, cond_shape=(6, 1))
    x[500:700:7] = math.nan
    train, test = cut(x, 400, spec)
    rows = {row.name: row for row in base.fit_baselines(known(train, test), "series")}
    found = rows["persistence"].predict(test)
    first = next(i for i in range(len(test)) if bool(test.eval_batch(torch.tensor([i])).cond[0, -1].isnan()))  # type: ignore[index]
    batch = test.eval_batch(torch.tensor([first]))
    assert batch.cond is not None
    spread = full.diff(dim=0).square().mean().sqrt()
    past, ahead = batch.cond[0, :, 0], batch.x[0, :, 0]
    assert found["forecast"][first, 1, :, 0].tolist() == [past[-2].item()] * 4
    width = (found["forecast"][first, 2] - found["forecast"][first, 1])[:, 0] / spread
    assert torch.allclose(width.square() / width[0].square(), torch.tensor([1.0, 1.5, 2.0, 2.5]).double())
    normal = torch.distributions.Normal
    want = normal(past[-2], spread * math.sqrt(2)).log_prob(ahead[0])
    want += normal(ahead[:-1], spread).log_prob(ahead[1:]).sum()
    assert found["nll"][first].item() == pytest.approx(-want.item())
    assert all(row.predict(test)["forecast"].isfinite().all() for row in rows.values())

    numbered = cut(x, 400, Spec((4, 1), None, cond_shape=(6, 2)))[1]
    for name, row in rows.items():
        assert torch.equal(row.predict(test)["forecast"], row.predict(numbered)["forecast"]), name


def test_chosen_items_are_a_function_of_split_and_number() -> None:
    split = images(30, 2)
    index = sample_indices(split, 10)
    assert torch.equal(index, sample_indices(split, 10))
    assert len(index.unique()) == 10
    assert len(sample_indices(split, 50)) == 50


def test_the_gaussian_has_the_mean_and_the_covariance_of_the_items() -> None:
    draw = torch.Generator().manual_seed(0)
    across = 20 * torch.randn(400, 1, 1, 4, generator=draw).expand(400, 1, 4, 4)  # columns of one value
    split = Items("train", (128 + across).round().clamp(0, 255).to(torch.uint8), Spec((1, 4, 4), 256))
    rows = {row.name: row for row in base.fit_baselines(known(split, split, n=4000), "images")}
    drawn = rows["pca-gaussian"].predict(split)["samples"].double().flatten(1)
    items = split.tensor.double().flatten(1)
    np.testing.assert_allclose(drawn.mean(0), items.mean(0), atol=1.5)
    np.testing.assert_allclose(np.cov(drawn.T.numpy()), np.cov(items.T.numpy()), atol=40)


def test_a_season_is_found_and_repeated() -> None:
    wave = 10 * torch.sin(torch.arange(600, dtype=torch.float64) * 2 * math.pi / 7)[:, None]
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 0.3, (600, 1)))
    spec = Spec((5, 1), None, cond_shape=(21, 1))
    train, test = cut(wave + noise, 450, spec)
    assert seasonality.find_season(train.tensor.numpy(), 21) == 7
    assert seasonality.find_season(np.random.default_rng(1).normal(size=(400, 1)), 21) == 0
    error = {
        row.name: score(row.predict(test), SplitContext(split=test))
        for row in base.fit_baselines(known(train, test), "series")
    }
    assert set(error) == {"persistence", "seasonal-naive-7", "ets"}
    assert error["seasonal-naive-7"]["mae"].mean() == pytest.approx(0.3 * 2 / math.sqrt(math.pi), rel=0.25)
    assert error["ets"]["mae"].mean() < 0.5 < 5 < error["persistence"]["mae"].mean()
    assert error["seasonal-naive-7"]["covered"].mean() == pytest.approx(0.9, abs=0.06)


def test_exponential_smoothing_knows_all_rows_before_an_origin_and_none_after() -> None:
    """statsmodels' own forecasts of a model that is fitted to the same rows and run to the same origin."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    rng, t = np.random.default_rng(3), np.arange(200)
    x = 5 + 0.02 * t + 2 * np.sin(2 * np.pi * t / 6) + rng.normal(0, 0.5, 200).cumsum() * 0.3
    for form in map(exponential_smoothing.Form, (0, 0, 6, 6, 6), ("", "damped", "", "add", "damped")):
        found = exponential_smoothing.forecast_with_one_fit(x, np.array([120, 121, 150]), form, 9)
        other = np.where(t < 150, x, 1e6)  # what comes later
        np.testing.assert_array_equal(
            found, exponential_smoothing.forecast_with_one_fit(other, np.array([120, 121, 150]), form, 9)
        )
        centre, unit = x[:120].mean(), x[:120].std()
        y = (x - centre) / unit
        kind = {"trend": "add" if form[1] else None, "damped_trend": form[1] == "damped"}
        kind |= {"seasonal": "add", "seasonal_periods": 6} if form[0] else {}
        fitted = ExponentialSmoothing(y[:120], **kind, initialization_method="estimated").fit()
        np.testing.assert_allclose(found[0], fitted.forecast(9) * unit + centre, rtol=1e-8)
        start = {"initial_level": fitted.params["initial_level"]}
        start |= {"initial_trend": fitted.params["initial_trend"]} if form[1] else {}
        start |= {"initial_seasonal": fitted.params["initial_seasons"]} if form[0] else {}
        weights = {k: v for k, v in fitted.params.items() if k.startswith(("smoothing", "damping")) and v == v}
        longer = ExponentialSmoothing(y[:150], **kind, initialization_method="known", **start)
        np.testing.assert_allclose(
            found[2], longer.fit(optimized=False, **weights).forecast(9) * unit + centre, rtol=1e-8
        )


def test_exponential_smoothing_goes_with_the_series_and_its_intervals_hold() -> None:
    """A level that wanders off: weights and states of train alone would be left behind."""
    rng = np.random.default_rng(1)
    level = rng.normal(0, 0.4, 600).cumsum()
    x = torch.from_numpy(level + rng.normal(0, 1, 600))[:, None]
    train, test = cut(x, 300, Spec((4, 1), None, cond_shape=(3, 1)))
    rows = {
        row.name: score(row.predict(test), SplitContext(split=test))
        for row in base.fit_baselines(known(train, test), "series")
    }
    assert rows["ets"]["mae"].mean() < 0.9 * rows["persistence"]["mae"].mean()
    assert rows["ets"]["covered"].mean() == pytest.approx(0.9, abs=0.06)


def test_a_modality_without_trivial_models_has_none() -> None:
    assert base.fit_baselines(known(images(3, 2)), "smells") == []


def test_forecasts_do_not_depend_on_the_unit() -> None:
    """statsmodels' optimiser stops early where values are large, and at once where they are tiny."""
    rng, x = np.random.default_rng(12), np.zeros(320)
    for i in range(1, len(x)):
        x[i] = 0.7 * x[i - 1] + rng.normal()
    x += 3 * np.sin(2 * np.pi * np.arange(len(x)) / 12)
    found = {}
    for factor, offset in ((1, 0), (-1, 0), (1e3, 0), (1e12, 0), (1e-12, 0), (1, 1e9)):
        values, spec = torch.from_numpy(factor * x + offset)[:, None], Spec((4, 1), None, cond_shape=(8, 1))
        train, test = cut(values, 240, spec)
        rows = base.fit_baselines(known(train, test), "series")
        found[factor, offset] = {
            row.name: score(row.predict(test), SplitContext(split=test))["mae"].mean() / abs(factor) for row in rows
        }
    for unit, errors in found.items():
        assert errors == pytest.approx(found[1, 0], rel=1e-4), unit
