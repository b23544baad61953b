"""Intervals against simulated truth: they hold as often as they say, whatever the groups that items come in."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import stdtrit

from genfoundry.errors import UserError
from genfoundry.evaluation import bootstrap
from genfoundry.evaluation.aggregate import aggregate, improvement
from genfoundry.evaluation.bootstrap import Estimate
from genfoundry.evaluation.distance_intervals import distance_difference, distance_estimate
from genfoundry.evaluation.metric import Distance
from genfoundry.evaluation.metrics.frechet import frechet_distance
from genfoundry.evaluation.metrics.kernel_distance import kernel_distance
from genfoundry.evaluation.metrics.latent_edits import identity_kept
from genfoundry.evaluation.scores import Array, Ids, group_ids

PAIRS = 2000  # of models, simulated for each grouping
UNITS = {  # how the items of the default tasks' gate come in groups: items of each
    "shakespeare's plays": (1195, 1129, 1000, 955, 940),
    "the plays of lines": (4023, 3640, 3307, 2794, 2683),
    "the plays of folio's thousand pairs": (258, 247, 238, 174, 83),
    "brain's blocks": (18, 18, 18, 18, 18, 12),
    "photos' regions": (1,) * 10,
    "macrodata's blocks": (2,) * 6,
    "sunspots' blocks": (2,) * 7,
    "elnino's blocks": (2,) * 8,
    "co2's blocks": (2,) * 12,
    "plays of less equal length": (480, 700, 350, 910, 660),
    "longer blocks, the last short": (41, 41, 41, 41, 33),
    "of a hundred restored items": (14, 11, 13, 12, 12, 14, 13, 11),
}
VERY_UNEQUAL = (14, 41, 4, 33, 8)


def ids_of(sizes: tuple[int, ...]) -> Ids:
    return np.repeat(np.arange(len(sizes)), sizes)


def simulated(sizes: tuple[int, ...], between: float, pairs: int) -> Array:
    """(pairs, G) mean differences in each group, of items that differ by 1 and groups whose effects do by `between`."""
    n, rng = np.array(sizes), np.random.default_rng(11)
    return rng.normal(size=(pairs, len(n))) * np.sqrt(between**2 + 1 / n)


def gain(row: Array, sizes: tuple[int, ...]) -> Estimate:
    """What `metrics` says of two models that differ by `row` (G,) in the groups."""
    ids = ids_of(sizes)
    items = np.linspace(-1, 1, len(ids))
    return improvement(
        {"nll": items, "nll_group": ids}, {"nll": items + row[ids], "nll_group": ids}, "nats_per_sample", 1
    )


def by_matrices(means: Array, sizes: tuple[int, ...]) -> tuple[Array, Array, float]:
    """(R,) differences, their CR2 standard errors and the quantile, by the trace formula of Bell and McCaffrey."""
    n = np.array(sizes)
    w, apart = n / n.sum(), np.eye(len(n)) - n / n.sum()
    form = apart.T @ np.diag(w**2 / (1 - w)) @ apart  # of the variance, quadratic in the means
    product = form @ np.diag(1 / n)
    freedom = np.trace(product) ** 2 / np.trace(product @ product)
    return means @ w, np.sqrt(np.einsum("rg,gh,rh->r", means, form, means)), float(stdtrit(freedom, 0.975))


@pytest.mark.parametrize("between", [0.0, 0.2, 3.0])
@pytest.mark.parametrize("unit", UNITS)
def test_equal_models_are_told_apart_as_seldom_as_it_says(unit: str, between: float) -> None:
    sizes = UNITS[unit]
    means = simulated(sizes, between, 40 * PAIRS)
    value, stderr, t = by_matrices(means, sizes)
    for i in range(5):
        one = gain(means[i], sizes)
        assert (one.value, one.stderr, one.n, one.groups) == pytest.approx(
            (value[i], stderr[i], sum(sizes), len(sizes))
        )
        assert (one.low, one.high) == pytest.approx((value[i] - t * stderr[i], value[i] + t * stderr[i]))
    assert 0.945 <= np.mean(np.abs(value) < t * stderr) <= 0.96
    for start in range(0, 10 * PAIRS, PAIRS):
        part = slice(start, start + PAIRS)
        assert max(np.mean(value[part] > t * stderr[part]), np.mean(value[part] < -t * stderr[part])) <= 0.035
    assert np.sqrt(np.mean(stderr**2)) == pytest.approx(np.std(value), rel=0.02)


@pytest.mark.parametrize("between", [0.0, 0.2, 3.0])
def test_one_group_of_two_fifths_of_the_items_makes_an_interval_wide_not_narrow(between: float) -> None:
    value, stderr, t = by_matrices(simulated(VERY_UNEQUAL, between, 40 * PAIRS), VERY_UNEQUAL)
    assert 0.945 <= np.mean(np.abs(value) < t * stderr) <= 0.975
    assert max(np.mean(value > t * stderr), np.mean(value < -t * stderr)) <= 0.028


@pytest.mark.parametrize("n", [100, 1000, 10_000])
def test_equal_models_on_independent_items(n: int) -> None:
    rng = np.random.default_rng(n)
    drawn = (rng.laplace(size=n) for _ in range(PAIRS))
    found = [improvement({"nll": np.zeros(n)}, {"nll": gaps}, "nats", 1) for gaps in drawn]
    assert 0.94 <= np.mean([one.low <= 0 <= one.high for one in found]) <= 0.96
    assert max(np.mean([one.low > 0 for one in found]), np.mean([one.high < 0 for one in found])) <= 0.035


def test_a_series_blocks_hold_though_windows_overlap() -> None:
    """Origins whose 5-step forecasts overlap, none across a border: errors of a block are alike, blocks are not."""
    rng, blocks, rows, steps = np.random.default_rng(0), 5, 20, 5
    ids = np.repeat(np.arange(blocks), rows - steps + 1)
    errors = rng.normal(size=(8000, blocks, 1)) + 0.5 * rng.normal(size=(8000, blocks, rows)).cumsum(2)
    gaps = np.lib.stride_tricks.sliding_window_view(errors, steps, axis=2).mean(3).reshape(8000, -1)
    found = [bootstrap.estimate_sum_of_means(float(row.mean()), (row, ids)) for row in gaps]
    assert 0.94 <= np.mean([one.low <= 0 <= one.high for one in found]) <= 0.96
    alone = [bootstrap.estimate_sum_of_means(float(row.mean()), (row, None)) for row in gaps[:PAIRS]]
    assert np.mean([one.low <= 0 <= one.high for one in alone]) < 0.5  # what items taken for independent would say


def test_items_that_are_their_own_groups_have_the_ordinary_t_interval() -> None:
    from scipy import stats

    items = np.random.default_rng(0).normal(3, 2, 12)
    low, high = stats.t.interval(0.95, 11, items.mean(), stats.sem(items))
    found = bootstrap.estimate_mean(items)
    assert (found.low, found.high, found.stderr) == pytest.approx((low, high, stats.sem(items)))
    assert bootstrap.estimate_mean(items, np.arange(12) * 7) == found


def test_groups_of_equal_size_have_the_t_interval_of_their_means() -> None:
    from scipy import stats

    items = np.random.default_rng(1).normal(size=(6, 9)) + np.arange(6)[:, None]
    found = bootstrap.estimate_mean(items.ravel(), np.repeat([5, 2, 9, 1, 7, 3], 9))
    want = stats.t.interval(0.95, 5, items.mean(), stats.sem(items.mean(1)))
    assert (found.low, found.high) == pytest.approx(want)
    assert (found.n, found.groups) == (54, 6)


def test_one_group_says_nothing_of_how_sure_a_figure_is() -> None:
    found = bootstrap.estimate_mean(np.arange(9.0), np.zeros(9, np.int64))
    assert (found.value, found.groups, found.has_interval) == (4, 1, False)
    assert math.isnan(found.stderr)
    one = {"nll": np.arange(9.0), "nll_group": np.zeros(9, np.int64), "use_codes": np.eye(9)}
    shown = aggregate({**one, "use_codes_group": one["nll_group"]}, 1, "images")
    assert shown["nats_groups"] == shown["perplexity_groups"] == 1
    assert not {"nats_stderr", "nats_low", "perplexity_low"} & shown.keys()


@pytest.mark.parametrize(("p", "sizes"), [(0.02, ()), (0.5, ()), (0.97, ()), (0.8, (40,) * 8), (0.3, (60, 90, 40, 80))])
def test_shares_hold_near_their_ends_and_in_groups(p: float, sizes: tuple[int, ...]) -> None:
    rng, hits = np.random.default_rng(5), []
    ids = ids_of(sizes) if sizes else None
    for _ in range(PAIRS):
        own = np.full(300, p) if ids is None else rng.beta(6 * p, 6 * (1 - p), len(sizes))[ids]
        found = bootstrap.estimate_mean(rng.random(len(own)) < own, ids)
        assert 0 <= found.low <= found.value <= found.high <= 1
        hits.append(found.low <= p <= found.high)
    assert 0.935 <= np.mean(hits) <= 0.97
    none = bootstrap.estimate_mean(np.zeros(1000))
    assert none.low == 0 and 0.002 < none.high < 0.006  # three in a thousand could have been missed


def test_resampled_groups_hold_what_resampled_items_do_not() -> None:
    """The ratio of two sums, with effects of six groups, against its truth."""
    rng, held, alone = np.random.default_rng(2), [], []
    ids = np.repeat(np.arange(6), 20)
    for _ in range(400):
        away = rng.uniform(2, 4, 120)
        moved = away * (0.4 + 0.1 * rng.normal(size=6)[ids] + 0.1 * rng.normal(size=120))
        for groups, hits in ((ids, held), (None, alone)):
            found = bootstrap.bootstrap_sums("identity", identity_kept, np.stack([moved, away], 1), groups)
            hits.append(found.low <= 0.6 <= found.high)
    assert 0.93 <= np.mean(held) <= 0.98
    assert np.mean(alone) < 0.75


def test_a_bootstrap_has_a_thousand_draws_whatever_its_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.concatenate(list(bootstrap.draw_resamples("a", 30)))
    assert whole.shape == (1000, 30)
    assert (whole.sum(1) == 30).all()
    monkeypatch.setattr(bootstrap, "AT_ONCE", 30 * 7)
    parts = list(bootstrap.draw_resamples("a", 30))
    assert len(parts) == 143
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_medians_are_those_of_the_repeated_items() -> None:
    items = np.random.default_rng(0).normal(size=21)
    ids = np.repeat(np.arange(7), 3)
    drawn = np.concatenate(list(bootstrap.draw_resamples("m", 7)))
    want = [np.sort(items.repeat(row[ids].astype(int)))[(21 - 1) // 2] for row in drawn]
    np.testing.assert_allclose(bootstrap.bootstrap_medians("m", items, ids), want)
    wide = bootstrap.bootstrap_medians("m", np.random.default_rng(1).normal(size=4000))
    assert wide.std() == pytest.approx(math.sqrt(math.pi / 2 / 4000), rel=0.15)


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1.0, 1.0), (0.5, 1.3)])
def test_distances_hold_where_distributions_agree_and_where_not(
    distance: Callable[..., Distance], shift: float, scale: float
) -> None:
    rng, values, gaps = np.random.default_rng(3), [], []
    width = 1 / np.sqrt(np.arange(1, 6))
    for _ in range(600):
        real, a, b = (rng.normal(size=(150, 5)) * width for _ in range(3))
        one, other = (distance(x * scale + shift * width, real) for x in (a, b))
        values.append(distance_estimate(one))
        gaps.append(distance_difference(one, other))
    truth = np.mean([one.value for one in values])
    assert 0.92 <= np.mean([one.low <= truth <= one.high for one in values]) <= 0.97
    assert np.mean([one.low > 0 for one in gaps]) <= 0.035
    spread = np.std([one.value for one in gaps])
    assert np.mean([one.stderr for one in gaps]) == pytest.approx(spread, rel=0.1)
    assert np.mean([one.low <= 0 <= one.high for one in gaps]) >= 0.94


def test_the_influence_of_an_item_is_what_leaving_it_out_changes() -> None:
    rng = np.random.default_rng(0)
    fake, real = rng.normal(0.4, 1.2, (80, 3)), rng.normal(size=(90, 3)) @ rng.normal(size=(3, 3))
    for distance in (frechet_distance, kernel_distance):
        whole = distance(fake, real)
        for of, n, less in (
            (whole.of_fake, 80, [distance(np.delete(fake, i, 0), real).value for i in range(80)]),
            (whole.of_real, 90, [distance(fake, np.delete(real, i, 0)).value for i in range(90)]),
        ):
            jackknife = (n - 1) * (np.mean(less) - np.array(less))
            assert np.corrcoef(jackknife, of)[0, 1] > 0.998
            assert jackknife.std() == pytest.approx(of.std(), rel=0.05)


@pytest.mark.parametrize("groups", [0, 40])
def test_the_bias_is_the_distance_of_samples_that_agree(groups: int) -> None:
    rng, mix = np.random.default_rng(0), np.random.default_rng(1).normal(size=(3, 3))
    ids, found = (np.repeat(np.arange(groups), 10) if groups else None), []
    for _ in range(200):
        real, fake = rng.normal(size=(400, 3)), rng.normal(size=(400, 3))
        if ids is not None:
            real = 0.6 * real + 0.8 * rng.normal(size=(groups, 3))[ids]
        found.append(frechet_distance(fake @ mix, real @ mix, ids))
    assert np.mean([one.bias for one in found]) == pytest.approx(np.mean([one.value for one in found]), rel=0.1)


def test_real_items_of_one_group_are_no_pair_of_the_kernel_distance() -> None:
    """Regions that have something in common lift the distance of their own distribution, if such pairs count."""
    rng, ids, found = np.random.default_rng(0), np.repeat(np.arange(20), 10), {"items": [], "groups": []}
    for _ in range(150):
        real = 0.6 * rng.normal(size=(200, 2)) + 0.8 * rng.normal(size=(20, 2))[ids]
        fake = rng.normal(size=(200, 2))
        found["items"].append(kernel_distance(fake, real).value)
        found["groups"].append(kernel_distance(fake, real, ids).value)
    error = np.std(found["groups"]) / math.sqrt(150)
    assert abs(np.mean(found["groups"])) < 3 * error
    assert np.mean(found["items"]) > 5 * error


def test_every_figure_states_its_items_and_groups() -> None:
    rng, ids = np.random.default_rng(0), np.repeat(np.arange(10), 6)
    scores = {"nll": rng.normal(50, 1, 60), "nll_group": ids, "restore_mask_psnr": rng.normal(20, 1, 30)}
    scores |= {"restore_mask_psnr_group": ids[:30], "hits": rng.random(60) < 0.5, "codes": rng.normal(size=(60, 3))}
    scores |= {"features": rng.normal(size=(40, 3)), "real": rng.normal(size=(40, 3)), "real_group": ids[:40]}
    scores |= {"bound_gap": rng.random(20), "bound_gap_group": ids[:20]}
    found = aggregate(scores, 4, "images")
    stated = {name: (found[f"{name}_n"], found[f"{name}_groups"]) for name in found if f"{name}_n" in found}
    assert not [name for name in found if "_group_" in name or name.endswith("_group")]
    assert stated["nats"] == (60, 10)
    assert stated["nats_per_sample_iw"] == (20, 10)
    assert stated["restore_mask_psnr"] == (30, 5)
    assert stated["accuracy"] == stated["active_units"] == (60, 60)
    assert stated["recall"] == stated["frechet"] == stated["kernel"] == (40, 7)
    assert stated["precision"] == (40, 40)
    ranked = aggregate(scores, 4, "images", on_test=False)
    assert (ranked["nats_n"], ranked["nats_groups"]) == (60, 10)
    assert ranked["nats_stderr"] == found["nats_stderr"]
    assert not [name for name in ranked if name.endswith("_group")]


def test_groups_beside_scores_are_one_an_item_and_alike_for_both_of_a_pair() -> None:
    assert group_ids({"nll": np.zeros(4)}, "nll") is None
    assert np.array_equal(group_ids({"nll": np.zeros(3), "nll_group": np.array([7, 7, 2])}, "nll"), [7, 7, 2])
    with pytest.raises(UserError, match="nll_group: expected 3 ids, one an item, got 2"):
        group_ids({"nll": np.zeros(3), "nll_group": np.zeros(2, np.int64)}, "nll")
    one, other = ({"nll": np.zeros(3), "nll_group": np.array(ids)} for ids in ([0, 0, 1], [0, 1, 1]))
    with pytest.raises(UserError, match="of other groups"):
        improvement(one, other, "nats", 1)
    assert improvement({"nll": np.zeros(3)}, one, "nats", 1).groups == 2  # the incumbent's code knew none
