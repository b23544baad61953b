"""The order of an autoregression by information criteria: equal to statsmodels' values."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from statsmodels.tsa.ar_model import AutoReg, ar_select_order
from statsmodels.tsa.vector_ar.var_model import VAR
from test_var import sunspots, table

from genfoundry.nn.timeseries.order_selection import Criterion, compute_criteria, select_order


@pytest.mark.parametrize(("trend", "season"), [("c", 0), ("n", 0), ("ct", 11)])
def test_of_one_column(trend: Any, season: int) -> None:
    x, most = sunspots(), 20
    found = compute_criteria(x, most, trend, season)
    how = {"trend": trend, "seasonal": season > 0, "period": season or None, "hold_back": most}
    for order in range(0 if trend != "n" else 1, most + 1):
        theirs = AutoReg(x[:, 0].numpy(), order, **how).fit()
        for name in get_args(Criterion):
            assert found[name][order].item() == pytest.approx(getattr(theirs, name), rel=1e-10), (name, order)


def test_the_order_of_the_sunspots_is_that_of_statsmodels() -> None:
    """`ar_select_order` leaves the constant out of its count: all values but order 0's are a penalty lower."""
    x = sunspots()
    for name in ("aic", "bic", "hqic"):
        theirs = ar_select_order(x[:, 0].numpy(), 20, ic=name)
        assert select_order(x, 20, name) == max(theirs.ar_lags)
        found, values = compute_criteria(x, 20)[name], getattr(theirs, name)
        gaps = [found[max(lags)].item() - value for lags, value in values.items() if lags]
        assert gaps == pytest.approx([gaps[0]] * 20, abs=1e-8)


@pytest.mark.parametrize("trend", ["n", "c", "ct"])
def test_of_several_columns(trend: Any) -> None:
    x = table("macrodata")[:, [12, 10, 9]]
    theirs = VAR(x).select_order(8, trend=trend)
    found = compute_criteria(torch.from_numpy(x), 8, trend, joint=True)
    for name in get_args(Criterion):
        values = theirs.ics[name]
        assert found[name][9 - len(values) :].tolist() == pytest.approx(values, rel=1e-10), name
        assert select_order(torch.from_numpy(x), 8, name, trend, joint=True) == theirs.selected_orders[name]


def test_columns_apart_add_up() -> None:
    x = torch.from_numpy(table("macrodata")[:, [12, 10]])
    both, one, other = compute_criteria(x, 6), compute_criteria(x[:, :1], 6), compute_criteria(x[:, 1:], 6)
    for name in ("aic", "bic", "hqic"):
        assert torch.allclose(both[name], one[name] + other[name])
    assert torch.allclose(both["fpe"], one["fpe"] * other["fpe"])


def test_lags_that_explain_nothing_more_are_not_chosen() -> None:
    t = torch.arange(300, dtype=torch.float64)
    torch.manual_seed(0)
    wave = torch.sin(t / 5)[:, None] + 1e-9 * torch.randn(300, 1, dtype=torch.float64)
    found = compute_criteria(
        torch.cat([wave, wave.roll(1, 0)], 1)[1:], 4, joint=True
    )  # a column that is a lag of the other
    assert all(value[1:].isfinite().all() for value in found.values())
