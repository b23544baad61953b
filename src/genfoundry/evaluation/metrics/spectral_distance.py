"""Spectral distance of samples and real images: how far apart their radially averaged power spectra are.

Blurred samples lack power at high frequencies, and transposed convolutions leave peaks there (Durall et al. 2020,
arXiv:2003.01826). An image's spectrum is the mean power of its discrete Fourier transform over frequencies of about one
length, in dB above the power of rounding to its levels; the metric is the squared difference of the two samples' mean
spectra, a mean over the lengths, without the part that chance gives to samples of one distribution.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from genfoundry.evaluation.metric import Distance, Metric, Requirement
from genfoundry.evaluation.metrics.frechet import draw_samples
from genfoundry.evaluation.scores import Array, Ids, Outputs, Scores, add_groups, with_ids

if TYPE_CHECKING:
    from genfoundry.evaluation.context import EvalContext


def score_spectra(outputs: Outputs, context: EvalContext) -> Scores:
    """ "spectrum" (n, R) of samples and "real_spectrum" (n, R) of as many real items, in dB."""
    from genfoundry.data.iterate import sample_indices, sample_items

    split = context.split
    if "samples" not in outputs or len(split.spec.shape) != 3:
        return {}
    n, levels = len(outputs["samples"]), split.spec.levels or 256

    def compute() -> Scores:
        return {"spectrum": radial_spectrum(sample_items(split, n).cpu().double().numpy(), levels)}

    real = context.cached(f"spectra {split.name} {n}", compute)["spectrum"]
    fake = radial_spectrum(outputs["samples"].cpu().double().numpy(), levels)
    return {"spectrum": fake} | add_groups({"real_spectrum": real}, split, sample_indices(split, n))


def radial_spectrum(images: Array, levels: int) -> Array:
    """(n, R) dB: mean power of images (n, C, H, W) of 0..levels-1 at frequencies of lengths 1 to R, in cycles a side.

    R is half the shorter side; the mean is over channels too. 0 dB is the power of the error of rounding to levels.
    """
    height, width = images.shape[-2:]
    power = np.abs(np.fft.fft2(images)) ** 2 / (height * width)  # (n, C, H, W)
    rows, columns = (np.fft.fftfreq(side) for side in (height, width))
    side = min(height, width)
    length = np.rint(np.hypot(rows[:, None], columns) * side).astype(int)  # (H, W)
    rings = [power[..., length == radius].mean((1, 2)) for radius in range(1, side // 2 + 1)]  # R times (n,)
    rounding = 1 / 12  # variance of an error that is uniform over a level
    # + 1 keeps the logarithm finite where there is no power
    return np.asarray(10 * np.log10(np.stack(rings, 1) / rounding + 1))


def spectral_distance(fake: Array, real: Array, ids: Ids | None = None) -> Distance:
    """The squared distance of mean spectra (n, R) and (m, R), a mean over R, with the influence of every item."""
    fake, real = (x.reshape(len(x), -1) for x in (fake, real))
    gap, x, y = fake.mean(0) - real.mean(0), fake - fake.mean(0), real - real.mean(0)
    squared, bias = float(np.square(gap).mean()), _mean_variance(x, None) + _mean_variance(y, ids)
    return Distance(squared - bias, squared, bias, 2 * x @ gap / len(gap), -2 * y @ gap / len(gap), ids)


def _mean_variance(x: Array, ids: Ids | None) -> float:
    """The variance of the mean of centred spectra (n, R) whose items come in groups, a mean over R."""
    names, sizes = np.unique(np.arange(len(x)) if ids is None else ids, return_inverse=True, return_counts=True)[1:]
    sums = np.zeros((len(sizes), x.shape[1]))
    np.add.at(sums, names, x)  # `+=` would add one item a group
    share = sizes[:, None] / len(x)
    # As in CR2; a single group would divide by 0
    return float((np.square(sums / len(x)) / np.maximum(1 - share, share)).sum(0).mean())


def compute_spectral_distance(scores: Scores, dims: int) -> dict[str, Distance]:
    """ "spectral_distance"; none for fewer than three items or for samples that are not finite."""
    (fake, _), (real, ids) = with_ids(scores, "spectrum"), with_ids(scores, "real_spectrum")
    if min(len(fake), len(real)) < 3 or not np.isfinite(fake).all():
        return {}
    return {"spectral_distance": spectral_distance(fake, real, ids)}


def _explain(model: Any, judge: Any) -> str:
    return "not finite, or too few items" if hasattr(model, "sample") else "draws no samples"


METRICS = (
    Metric(
        name="spectral_distance",
        title="spectral distance",
        unit="squared dB",
        direction="minimize",
        description="squared difference of radially averaged power spectra (Durall et al. 2020): blur, and artefacts",
        requires=Requirement("spectra of samples", ("GenerativeModel",), _explain, reference="no samples"),
        group="samples",
        inputs=("spectrum", "real_spectrum"),
        test_only=True,
        predict=draw_samples,
        score=score_spectra,
        statistics=compute_spectral_distance,
    ),
)
