"""Objectives against their definitions, the Frechet distance against the closed form, the bootstrap against chance."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import numpy as np
import pytest

from genfoundry.errors import UserError
from genfoundry.evaluation.aggregate import aggregate, estimate_metric, improvement
from genfoundry.evaluation.metrics.frechet import frechet_distance
from genfoundry.evaluation.objectives import computable_objectives, find_objective
from genfoundry.models.base import GenerativeModel, Hyper, Learner

rng = np.random.default_rng(1)


def exactly(n: int, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """(n, F) points whose sample mean and covariance are exactly these."""
    x = rng.normal(size=(n, len(mean)))
    x = x - x.mean(0)
    white = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return mean + white @ np.linalg.cholesky(covariance).T


def test_frechet_is_the_closed_form_for_diagonal_gaussians() -> None:
    a, b = np.array([1.0, 4.0, 0.25]), np.array([9.0, 1.0, 0.25])
    m, k = np.array([0.0, 1.0, 2.0]), np.array([3.0, 1.0, 0.0])
    want = ((m - k) ** 2).sum() + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    got = frechet_distance(exactly(50, m, np.diag(a)), exactly(70, k, np.diag(b))).value
    assert got == pytest.approx(want, rel=1e-9)


def test_frechet_is_the_closed_form_for_full_covariances() -> None:
    from scipy.linalg import sqrtm

    r, s = rng.normal(size=(2, 5, 5))
    a, b = r @ r.T + np.eye(5), s @ s.T + 0.1 * np.eye(5)
    want = np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    got = frechet_distance(exactly(90, np.zeros(5), a), exactly(90, np.zeros(5), b)).value
    assert got == pytest.approx(want, rel=1e-7)


def test_frechet_of_a_sample_and_itself_is_nothing_and_of_a_point_is_finite() -> None:
    x = rng.normal(size=(100, 8))
    assert frechet_distance(x, x).value == pytest.approx(0, abs=1e-8)
    point = np.repeat(x[:1], 100, 0)
    want = ((x[0] - x.mean(0)) ** 2).sum() + np.trace(np.cov(x.T))
    assert frechet_distance(point, x).value == pytest.approx(want, rel=1e-9)


def test_frechet_wants_a_sample() -> None:
    with pytest.raises(UserError, match=r"\(1, 3\)"):
        frechet_distance(np.zeros((1, 3)), np.zeros((1, 3)))


def test_units() -> None:
    nll = np.full(10, 8 * math.log(2) * 3)  # 3 bits each of 8 values
    found = aggregate({"nll": nll}, 8, "images", on_test=False)
    assert found["bits_per_dim"] == pytest.approx(3)
    assert found["nats"] == pytest.approx(3 * math.log(2))
    assert found["nats_per_sample"] == pytest.approx(24 * math.log(2))
    assert "nats_per_char" not in found
    assert aggregate({"nll": nll}, 8, "text", on_test=False)["nats_per_char"] == pytest.approx(3 * math.log(2))


def test_nats_a_value_count_the_values_that_are_there() -> None:
    """Over all of them: an item with few weighs little, and says as much of the spread (a ratio estimator)."""
    draw = np.random.default_rng(0)
    cells = draw.integers(0, 9, 400).astype(float)
    nll = np.array([draw.normal(1.5, 1, int(n)).sum() for n in cells])
    found = aggregate({"nll": nll, "nll_cells": cells}, 8, "series", on_test=False)
    assert found["nats"] == pytest.approx(nll.sum() / cells.sum())
    assert found["nats_stderr"] == pytest.approx(1 / math.sqrt(cells.sum()), rel=0.1)
    assert found["nats_per_sample"] == pytest.approx(nll.mean()) and "nll_cells" not in found


def test_mean_and_standard_error() -> None:
    found = aggregate(
        {"mae": np.array([1.0, 2.0, 3.0, 6.0]), "covered": np.array([1.0, 0.0])}, 1, "series", on_test=False
    )
    assert found["mae"] == 3
    assert found["mae_stderr"] == pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 3 / 4))
    assert found["covered"] == 0.5
    assert "mae_stderr" not in aggregate({"mae": np.array([1.0])}, 1, "series", on_test=False)


def test_a_diverged_model_has_no_figure() -> None:
    assert aggregate({"nll": np.array([1.0, np.nan])}, 2, "images", on_test=False) == {}
    bad = {"features": np.full((4, 2), np.nan), "real": np.ones((4, 2))}
    assert aggregate(bad, 2, "images", on_test=False) == {}


def test_standard_error_of_frechet_is_that_of_fresh_samples() -> None:
    def scores() -> dict[str, np.ndarray]:
        return {"features": rng.normal(0.5, 1, (400, 4)), "real": rng.normal(size=(400, 4))}

    unit = find_objective("frechet")
    spread = np.std([unit.value(scores(), 1) for _ in range(100)])
    assert estimate_metric(unit, scores(), 1).stderr == pytest.approx(spread, rel=0.2)


def test_improvement_is_signed_and_paired() -> None:
    hard = rng.normal(100, 50, 500)  # items differ far more than models do
    ours, theirs = {"nll": hard}, {"nll": hard + rng.normal(0.5, 0.5, 500)}
    gain = improvement(ours, theirs, "nats_per_sample", 1)
    assert gain.low < gain.value < gain.high
    assert gain.low > 0.4
    back = improvement(theirs, ours, "nats_per_sample", 1)
    assert (back.value, back.low, back.high) == pytest.approx((-gain.value, -gain.high, -gain.low))


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    hits = 0
    for seed in range(200):
        gap = np.random.default_rng(seed).normal(0.3, 1, 60)
        gain = improvement({"nll": np.zeros(60)}, {"nll": gap}, "nats_per_sample", 1)
        hits += gain.low <= 0.3 <= gain.high
    assert 180 <= hits <= 199


def test_two_samples_of_one_model_do_not_pass_for_an_improvement_in_frechet() -> None:
    wins = 0
    for seed in range(40):
        draw = np.random.default_rng(seed)
        real, a, b = draw.normal(size=(300, 6)), draw.normal(0.2, 1, (300, 6)), draw.normal(0.2, 1, (300, 6))
        gain = improvement({"features": a, "real": real}, {"features": b, "real": real}, "frechet", 1)
        wins += gain.low > 0
    assert wins <= 4


def test_frechet_improvement_is_found_and_quick() -> None:
    real, near, far = rng.normal(size=(2000, 64)), rng.normal(size=(2000, 64)), rng.normal(0.3, 1, (2000, 64))
    start = time.perf_counter()
    gain = improvement({"features": near, "real": real}, {"features": far, "real": real}, "frechet", 784)
    assert time.perf_counter() - start < 2
    assert gain.value == pytest.approx(64 * 0.09, rel=0.2)
    assert gain.low > 0


def test_what_is_not_measured_alike_is_not_compared() -> None:
    with pytest.raises(UserError, match="got 3 scores, the incumbent 4"):
        improvement({"nll": np.zeros(3)}, {"nll": np.zeros(4)}, "nats", 1)
    a, b = rng.normal(size=(2, 10, 2))
    with pytest.raises(UserError, match="same"):
        improvement({"features": a, "real": a}, {"features": a, "real": b}, "frechet", 1)
    with pytest.raises(UserError, match="same n"):
        find_objective("frechet").value({"features": a[:5], "real": b}, 1)


def test_unknown_objective_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"expected one of bits_per_dim, nats_per_char.*, got 'bpd'"):
        find_objective("bpd")


SAMPLED = ("frechet", "modes", "reverse_kl")


def test_objectives_follow_abilities() -> None:
    class Mute(GenerativeModel):
        likelihood = "none"

    class Seer(GenerativeModel):
        def forecast(self) -> None: ...

    class Teller(Learner):
        def classify(self) -> None: ...

    assert computable_objectives(Mute, "images") == SAMPLED
    assert computable_objectives(GenerativeModel, "images") == ("bits_per_dim", "nats", "nats_per_sample", *SAMPLED)
    assert computable_objectives(GenerativeModel, "text") == ("nats_per_char", "nats", "nats_per_sample")
    assert computable_objectives(Seer, "series") == ("nats", "nats_per_sample", "mae", "mase", "dtw")
    assert computable_objectives(Learner, "images") == ()
    assert computable_objectives(Teller, "images") == ("accuracy",)


def test_restoration_is_ranked_by_the_damage_that_was_learnt() -> None:
    class Mends(Learner):
        def restore(self) -> None: ...

    class Noisy(Hyper):
        noise: str = "none"

    assert computable_objectives(Mends, "images", Noisy(noise="mask")) == ("restore_mask_psnr",)
    assert computable_objectives(Mends, "images", Noisy()) == ()
    assert computable_objectives(Mends, "images") == computable_objectives(Learner, "images", Noisy(noise="mask")) == ()


def test_ranking_and_promotion_need_no_torch() -> None:
    code = "import sys, genfoundry.evaluation.aggregate, genfoundry.reporting.leaderboard; "
    code += "genfoundry.reporting.leaderboard.METRICS; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
