"""Exponential smoothing of one column (statsmodels), from every origin: fitted once, its states carried on from there.

Values are standardised before they are fitted: the optimiser of statsmodels stops by absolute tolerances.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from statsmodels.tsa.holtwinters import HoltWintersResults

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
FITS = 5  # in a stretch of origins
Trend = Literal["", "damped", "add"]
TRENDS: tuple[Trend, ...] = ("", "damped", "add")
YEARS = 5  # seasons that a short memory holds


class Form(NamedTuple):
    """Rows of the additive season (0: none), the trend, and how many rows before an origin are fitted (0: all)."""

    season: int
    trend: Trend
    memory: int = 0


def chosen(x: Floats, season: int, horizon: int) -> Form:
    """The form for x (L,): of a season of so many rows or none, of a straight trend, a damped one or none.

    AICc says which, as in AutoETS (Hyndman et al. 2002). Of twice `YEARS` seasons or more, `deviations` say whether
    to fit all rows or the last `YEARS` seasons: a season of 52 weeks is no year for ever.
    """
    memories = (0, YEARS * season) if season and len(x) >= 2 * YEARS * season else (0,)
    forms = [_best(x[-memory:], season, memory) for memory in memories]
    errors = [float(deviations(x, form, horizon).mean()) if len(forms) > 1 else 0.0 for form in forms]
    return forms[int(np.argmin(errors))]


def _best(x: Floats, season: int, memory: int) -> Form:
    """The form of least AICc."""
    y = (x - x.mean()) / _unit(x)
    forms = [Form(rows, trend, memory) for rows in dict.fromkeys((0, season)) for trend in TRENDS]
    return forms[int(np.argmin([_fitted(y, form).aicc for form in forms]))]


def forecasts(x: Floats, origins: Ints, form: Form, horizon: int) -> Floats:
    """(N, T) expected values of x (L,) at the T rows from each of N ascending origins on, fitted anew `FITS` times."""
    runs = np.array_split(origins, min(FITS, len(origins)))
    return np.concatenate([carried_on(x, run, form, horizon) for run in runs])


def carried_on(x: Floats, origins: Ints, form: Form, horizon: int) -> Floats:
    """As `forecasts`, fitted once.

    Weights and the first states are fitted to the form's rows before the first origin; the states at an origin know all
    that follow up to it, and nothing after.
    """
    skipped = max(0, int(origins[0]) - form.memory) if form.memory else 0
    x, origins = x[skipped:], origins - skipped
    centre, unit = x[: origins[0]].mean(), _unit(x[: origins[0]])
    y = (x[: origins[-1]] - centre) / unit
    states = _followed(y, form, _fitted(y[: origins[0]], form).params)
    found: Floats = _ahead(states, form, horizon)[origins - 1] * unit + centre
    return found


def deviations(x: Floats, form: Form, horizon: int) -> Floats:
    """(T,) root mean squares of the errors at each step ahead of `forecasts` from the later half of x (L,).

    Errors on the rows that a model is fitted to are smaller than those to come.
    """
    origins = np.arange(len(x) // 2, len(x) - horizon + 1)
    truth = np.lib.stride_tricks.sliding_window_view(x, horizon)[origins]
    found: Floats = np.sqrt(np.square(forecasts(x, origins, form, horizon) - truth).mean(0))
    return found


def _unit(x: Floats) -> float:
    return float(x.std()) or 1.0


def _model(y: Floats, form: Form, **start: Any) -> Any:
    from statsmodels.tsa.holtwinters import ExponentialSmoothing

    season, trend, _ = form
    kind: dict[str, Any] = {"trend": "add" if trend else None, "damped_trend": trend == "damped"}
    kind |= {"seasonal": "add", "seasonal_periods": season} if season else {}
    return ExponentialSmoothing(y, **kind, **start)


def _fitted(y: Floats, form: Form) -> HoltWintersResults:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimiser stopped at a bound is no news
        found: HoltWintersResults = _model(y, form, initialization_method="estimated").fit()
    return found


def _followed(y: Floats, form: Form, fitted: dict[str, Any]) -> HoltWintersResults:
    """The states after each row of y (L,), of these weights and first states."""
    season, trend, _ = form
    start = {"initialization_method": "known", "initial_level": fitted["initial_level"]}
    start |= {"initial_trend": fitted["initial_trend"]} if trend else {}
    start |= {"initial_seasonal": fitted["initial_seasons"]} if season else {}
    weights = {"smoothing_level": fitted["smoothing_level"]}
    weights |= {"smoothing_trend": fitted["smoothing_trend"]} if trend else {}
    weights |= {"damping_trend": fitted["damping_trend"]} if trend == "damped" else {}
    weights |= {"smoothing_seasonal": fitted["smoothing_seasonal"]} if season else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: HoltWintersResults = _model(y, form, **start).fit(optimized=False, **weights)
    return found


def _ahead(states: HoltWintersResults, form: Form, horizon: int) -> Floats:
    """(L, T) expected values of the T rows after each: level, sum of the damped trend, the season's last values."""
    season, trend, _ = form
    step = np.arange(horizon)
    found = np.repeat(np.asarray(states.level)[:, None], horizon, 1)
    if trend:
        damping = states.params["damping_trend"] if trend == "damped" else 1.0
        found = found + np.asarray(states.trend)[:, None] * np.cumsum(damping ** (step + 1.0))
    if season:
        around = np.concatenate([states.params["initial_seasons"], states.season])
        found = found + around[np.arange(1, len(found) + 1)[:, None] + step % season]
    return found
