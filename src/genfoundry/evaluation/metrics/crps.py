"""Continuous ranked probability score (CRPS) of forecasts, from their predicted quantiles.

CRPS = 2 * integral over q of rho_q(y - F^-1(q)), with the quantile loss rho_q(e) = max(q e, (q - 1) e) (Gneiting and
Raftery 2007, section 4.2; the decomposition by quantiles is eq. 10 of Gneiting and Ranjan 2011). Models give a few
quantiles (`QUANTILES`), so that the integral is a weighted sum: each quantile stands for the levels nearest to it. A
sum of quantile losses is a proper score; of a forecast that is sure of one value it is the absolute error, of a normal
distribution it is a sixth below CRPS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from genfoundry.evaluation.metric import QUANTILES, Metric
from genfoundry.evaluation.metrics.forecast_errors import FORECAST, forecast, read_truth, weigh_values
from genfoundry.evaluation.scores import Array, Outputs, Scores, add_groups

if TYPE_CHECKING:
    from genfoundry.evaluation.context import SplitContext


def score_crps(outputs: Outputs, context: SplitContext) -> Scores:
    """ "crps" (n,): a mean over the values of each window in which one is known."""
    import torch

    if "forecast" not in outputs:
        return {}
    truth = read_truth(context.split)  # (N, T, D)
    some, weight = weigh_values(truth)
    loss = quantile_crps(outputs["forecast"].double().numpy()[some], truth[some])
    index = torch.from_numpy(np.flatnonzero(some))
    return add_groups({"crps": (np.nan_to_num(loss) * weight).sum((1, 2))}, context.split, index)


def quantile_crps(quantiles: Array, truth: Array) -> Array:
    """(N, T, D) CRPS of forecasts (N, len(QUANTILES), T, D) against what came (N, T, D); NaN where it is not known."""
    levels = np.array(QUANTILES)
    edges = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2, [1.0]])
    q, width = (x[:, None, None] for x in (levels, np.diff(edges)))  # (Q, 1, 1) each
    error = truth[:, None] - quantiles  # (N, Q, T, D)
    return np.asarray((2 * width * np.maximum(q * error, (q - 1) * error)).sum(1))


METRICS = (
    Metric(
        name="crps",
        title="CRPS",
        unit="the series' unit",
        direction="minimize",
        description="continuous ranked probability score of the predicted quantiles (Gneiting and Raftery 2007)",
        requires=FORECAST,
        group="forecasts",
        inputs=("crps",),
        modalities=("series",),
        predict=forecast,
        score=score_crps,
    ),
)
