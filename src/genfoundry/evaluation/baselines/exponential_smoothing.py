"""Exponential smoothing of one column (statsmodels), from every origin: fitted once, its states carried on from there.

Values are standardised before the fit, since the optimiser of statsmodels stops by absolute tolerances.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

    from statsmodels.tsa.holtwinters import HoltWintersResults

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FITS = 5  # in a run of origins
Trend = Literal["", "damped", "add"]
TRENDS: tuple[Trend, ...] = ("", "damped", "add")
MEMORY = 5  # seasons of a short memory


class Form(NamedTuple):
    """Rows of the additive season (0: none), the trend, and how many rows before an origin are fitted (0: all)."""

    season: int
    trend: Trend
    memory: int = 0


def choose_form(x: Floats, season: int, horizon: int) -> Form:
    """Choose the form for x (L,): with a season of so many rows or none, with a straight trend, a damped one or none.

    AICc decides, as in AutoETS (Hyndman et al. 2002). Of twice `MEMORY` seasons or more, `forecast_rmse` decides
    whether to fit all rows or the last `MEMORY` seasons: a yearly season of 52 weeks drifts.
    """
    memories = (0, MEMORY * season) if season and len(x) >= 2 * MEMORY * season else (0,)
    forms = [_choose_by_aicc(x[-memory:], season, memory) for memory in memories]
    errors = [float(forecast_rmse(x, form, horizon).mean()) if len(forms) > 1 else 0.0 for form in forms]
    return forms[int(np.argmin(errors))]


def _choose_by_aicc(x: Floats, season: int, memory: int) -> Form:
    y = (x - x.mean()) / _scale(x)
    forms = [Form(rows, trend, memory) for rows in dict.fromkeys((0, season)) for trend in TRENDS]
    return forms[int(np.argmin([_smooth(y, form).aicc for form in forms]))]


def forecast(x: Floats, origins: Ints, form: Form, horizon: int) -> Floats:
    """(N, T) expected values of x (L,) at the T rows from each of N ascending origins on; fitted anew `FITS` times."""
    runs = np.array_split(origins, min(FITS, len(origins)))
    return np.concatenate([forecast_with_one_fit(x, run, form, horizon) for run in runs])


def forecast_with_one_fit(x: Floats, origins: Ints, form: Form, horizon: int) -> Floats:
    """As `forecast`, with parameters and initial states fitted to the rows before the first origin alone.

    The states at an origin are filtered through all rows up to it, and none after.
    """
    skipped = max(0, int(origins[0]) - form.memory) if form.memory else 0
    x, origins = x[skipped:], origins - skipped
    mean, scale = x[: origins[0]].mean(), _scale(x[: origins[0]])
    y = (x[: origins[-1]] - mean) / scale
    # Parameters are those of the first fit; states are filtered through every later row, too
    states = _smooth(y, form, _smooth(y[: origins[0]], form).params)
    return np.asarray(_extrapolate(states, form, horizon)[origins - 1] * scale + mean)


def forecast_rmse(x: Floats, form: Form, horizon: int) -> Floats:
    """(T,) root mean squared errors at each step ahead, of forecasts from the second half of x (L,).

    Errors on the rows that a model is fitted to would be too small.
    """
    origins = np.arange(len(x) // 2, len(x) - horizon + 1)
    truth = np.lib.stride_tricks.sliding_window_view(x, horizon)[origins]  # (N, T)
    return np.asarray(np.sqrt(np.square(forecast(x, origins, form, horizon) - truth).mean(0)))


def _scale(x: Floats) -> float:
    return float(x.std()) or 1.0


def _smooth(y: Floats, form: Form, params: Mapping[str, Any] | None = None) -> HoltWintersResults:
    """The states after each row of y (L,), with the parameters of an earlier fit, or (None) fitted to y."""
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    season, trend, _ = form
    settings: dict[str, Any] = {"trend": "add" if trend else None, "damped_trend": trend == "damped"}
    settings |= {"seasonal": "add", "seasonal_periods": season} if season else {}
    weights: dict[str, Any] = {}
    if params is None:
        settings |= {"initialization_method": "estimated"}
    else:
        settings |= {"initialization_method": "known", "initial_level": params["initial_level"]}
        settings |= {"initial_trend": params["initial_trend"]} if trend else {}
        settings |= {"initial_seasonal": params["initial_seasons"]} if season else {}
        names = ["smoothing_level", *["smoothing_trend"] * bool(trend), *["smoothing_seasonal"] * bool(season)]
        weights = {name: params[name] for name in (*names, *["damping_trend"] * (trend == "damped"))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimiser stopped at a bound is no news
        return ExponentialSmoothing(y, **settings).fit(optimized=params is None, **weights)


def _extrapolate(states: HoltWintersResults, form: Form, horizon: int) -> Floats:
    """(L, T) expected values of the T rows after each: level, sum of the damped trend, the season's last values."""
    season, trend, _ = form
    step = np.arange(horizon)
    ahead = np.repeat(np.asarray(states.level)[:, None], horizon, 1)  # (L, T)
    if trend:
        damping = states.params["damping_trend"] if trend == "damped" else 1.0
        ahead = ahead + np.asarray(states.trend)[:, None] * np.cumsum(damping ** (step + 1.0))  # phi + ... + phi^h
    if season:
        seasonal = np.concatenate([states.params["initial_seasons"], states.season])  # (season + L,)
        ahead = ahead + seasonal[np.arange(1, len(ahead) + 1)[:, None] + step % season]
    return ahead
