"""The spectral distance: spectra of known images, blur that it finds and noise that it does not, its interval."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.distance_intervals import distance_estimate
from genfoundry.evaluation.metrics.spectral_distance import radial_spectrum, spectral_distance


def textures(n: int, seed: int, blur: float = 0.0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, 1, 16, 16))
    x = gaussian_filter(x, (0, 0, 0.7, 0.7), mode="wrap")
    return np.rint(np.clip(128 + 60 * gaussian_filter(x, (0, 0, blur, blur), mode="wrap"), 0, 255))


def test_the_spectrum_of_a_wave_has_its_peak_at_its_frequency() -> None:
    wave = 100 + 50 * np.sin(2 * np.pi * 3 * np.arange(16) / 16)
    spectrum = radial_spectrum(np.broadcast_to(wave, (2, 1, 16, 16)), 256)
    assert spectrum.shape == (2, 8)
    assert spectrum[0].argmax() == 2  # three cycles a side
    assert np.delete(spectrum[0], 2).max() == pytest.approx(0, abs=1e-6)


def test_white_noise_is_flat_and_a_constant_image_has_no_power() -> None:
    noise = radial_spectrum(np.random.default_rng(0).normal(0, 5, (400, 1, 16, 16)), 256).mean(0)
    assert np.ptp(noise) < 1.5  # dB
    assert radial_spectrum(np.full((1, 3, 8, 8), 7.0), 256).tolist() == [[0.0] * 4]


def test_blur_is_found_and_two_samples_of_one_distribution_are_not_told_apart() -> None:
    real = radial_spectrum(textures(300, 0), 256)
    blurred = distance_estimate(spectral_distance(radial_spectrum(textures(300, 1, 0.6), 256), real))
    alike = distance_estimate(spectral_distance(radial_spectrum(textures(300, 2), 256), real))
    assert blurred.low > 10 > alike.high
    assert alike.low <= 0 <= alike.high


def test_it_is_unbiased_and_its_interval_holds() -> None:
    rng, values, held = np.random.default_rng(0), [], 0
    for _ in range(300):
        fake, real = rng.normal(0.3, 1, (60, 5)), rng.normal(size=(60, 5))
        estimate = distance_estimate(spectral_distance(fake, real))
        values.append(estimate.value)
        held += estimate.low <= 0.09 <= estimate.high
    assert np.mean(values) == pytest.approx(0.09, abs=0.006)
    assert held / 300 >= 0.92


def test_real_items_of_a_group_are_one() -> None:
    real = textures(40, 0)
    once, twice = radial_spectrum(real, 256), radial_spectrum(real.repeat(2, 0), 256)
    fake = radial_spectrum(textures(40, 1), 256)
    grouped = spectral_distance(fake, twice, np.arange(40).repeat(2))
    assert grouped.value == pytest.approx(spectral_distance(fake, once).value)


def test_a_metric_is_made_of_it() -> None:
    scores = {
        "spectrum": radial_spectrum(textures(50, 1, 0.6), 256),
        "real_spectrum": radial_spectrum(textures(50, 0), 256),
    }
    found = aggregate(scores, 256, "images")
    assert found["spectral_distance_low"] < found["spectral_distance"] < found["spectral_distance_high"]
    assert found["spectral_distance_n"] == 50
    scores["spectrum"][3, 2] = np.nan
    assert aggregate(scores, 256, "images") == {}
