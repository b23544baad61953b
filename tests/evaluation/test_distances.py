"""Distances of two samples against reference implementations, their definitions, and chance."""

from __future__ import annotations

import numpy as np
import pytest

from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.metrics import all_metrics
from genfoundry.evaluation.metrics.frechet import frechet_distance
from genfoundry.evaluation.metrics.kernel_distance import kernel_distance
from genfoundry.evaluation.metrics.manifolds import score_manifolds, score_neighbours


def pair(n: int = 120, m: int = 90, width: int = 8, shift: float = 0.3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1.2, (n, width)), rng.normal(size=(m, width))


def test_frechet_and_kernel_distance_agree_with_torchmetrics() -> None:
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    class Flat(torch.nn.Module):
        num_features = 8

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)

    fake, real = pair(100, 100)
    fid = FrechetInceptionDistance(Flat(), normalize=True, input_img_size=(1, 2, 4)).set_dtype(torch.float64)
    kid = KernelInceptionDistance(Flat(), subsets=1, subset_size=100, normalize=True)
    for metric in (fid, kid):
        metric.used_custom_model = True  # the images are the features
        for x, is_real in ((real, True), (fake, False)):
            metric.update(torch.from_numpy(x).view(-1, 1, 2, 4), real=is_real)
    assert frechet_distance(fake, real).value == pytest.approx(fid.compute().item(), rel=1e-4)
    assert kernel_distance(fake, real).value == pytest.approx(kid.compute()[0].item(), rel=1e-4)


def test_precision_recall_density_coverage_agree_with_their_authors() -> None:
    from prdc import compute_prdc

    fake, real = pair()
    theirs = compute_prdc(real_features=real, fake_features=fake, nearest_k=5)
    ours = {name: x.mean() for name, x in score_manifolds(fake, real).items()}
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_manifolds_on_a_line_by_hand() -> None:
    real, fake = np.array([[0.0], [1.0], [3.0], [10.0]]), np.array([[0.5], [1.5], [30.0], [30.5]])
    # Reach with one neighbour: real 1, 1, 2, 7; generated 1, 1, 0.5, 0.5.
    found = {name: x.tolist() for name, x in score_manifolds(fake, real, k=1).items()}
    assert found == {
        "precision": [1, 1, 0, 0],
        "recall": [1, 1, 0, 0],
        "density": [2, 2, 0, 0],  # 1.5 lies within the reach of 1 and of 3
        "coverage": [1, 1, 1, 0],
    }


def test_the_kernel_distance_is_unbiased() -> None:
    rng = np.random.default_rng(3)
    draws = [kernel_distance(rng.normal(size=(20, 4)), rng.normal(size=(20, 4))).value for _ in range(600)]
    assert abs(np.mean(draws)) < 3 * np.std(draws) / np.sqrt(600)
    assert np.std(draws) / np.sqrt(600) < 0.02


def test_the_kernel_distance_by_hand() -> None:
    a, b = np.array([[1.0], [2.0]]), np.array([[0.0], [1.0], [3.0]])
    k = lambda x, y: (x * y + 1) ** 3  # noqa: E731
    want = k(1, 2) + (k(0, 1) + k(0, 3) + k(1, 3)) / 3 - 2 * np.mean([[k(x, y) for y in b[:, 0]] for x in a[:, 0]])
    assert kernel_distance(a, b).value == pytest.approx(want)


def test_the_neighbour_test_by_brute_force_and_at_its_ends() -> None:
    fake, real = pair(30, 40, 3)
    both, own = np.concatenate([fake, real]), np.arange(70) < 30
    gaps = ((both[:, None] - both[None]) ** 2).sum(2) + np.diag(np.full(70, np.inf))
    assert score_neighbours(fake, real).tolist() == (own[gaps.argmin(1)] == own).tolist()
    assert score_neighbours(fake + 100, real).mean() == 1
    assert score_neighbours(*pair(1500, 1500, shift=0.0)).mean() > 0.5  # wider, 1.2 for 1
    rng = np.random.default_rng(0)
    assert score_neighbours(rng.normal(size=(1500, 4)), rng.normal(size=(1500, 4))).mean() == pytest.approx(
        0.5, abs=0.03
    )


def test_a_collapsed_sample_fails_recall_and_coverage() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(500, 6))
    collapsed = real[:1] + 0.01 * rng.normal(size=(500, 6))
    found = aggregate({"features": collapsed, "real": real}, 1, "images")
    assert found["precision"] > 0.99  # each sample alone looks real
    assert found["recall"] < 0.02
    assert found["coverage"] < 0.05
    assert found["neighbour"] > 0.95
    alike = np.random.default_rng(1).normal(size=(500, 6))
    good = aggregate({"features": alike, "real": real}, 1, "images")
    assert min(good[name] for name in ("precision", "recall", "coverage")) > 0.85
    assert good["density"] == pytest.approx(1, abs=0.15)
    assert good["kernel_low"] < 0 < good["kernel_high"]


def test_every_figure_has_an_interval_about_it() -> None:
    fake, real = pair(60, 60, 2, shift=1.0)
    scores = {"features": fake, "real": real, "features_control": fake, "real_control": real, "copies": fake[:, 0] > 1}
    scores |= {"near": np.abs(fake[:, 0]), "near_real": np.abs(real[:, 0]), "nll": fake[:, 1] + 9}
    found = aggregate(scores, 4, "images")
    names = {name for name in found if not name.endswith(("_low", "_high", "_stderr", "_n", "_groups"))}
    assert {
        "bits_per_dim",
        "frechet",
        "kernel",
        "precision",
        "neighbour",
        "nearest",
        "copies",
        "frechet_control",
    } <= names
    for name in names:
        assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"], name
        assert found[f"{name}_low"] < found[f"{name}_high"], name


def test_features_that_are_not_finite_have_no_figures() -> None:
    fake, real = pair(40, 40)
    fake[3, 2] = np.nan
    assert aggregate({"features": fake, "real": real}, 1, "images") == {}


def test_the_metadata_of_metrics_are_consistent() -> None:
    for name, metric in all_metrics().items():
        assert metric.name == name
        assert (metric.direction == "ideal") == (metric.ideal is not None)
        assert metric.description
    assert len({metric.title for metric in all_metrics().values()}) == len(all_metrics())
