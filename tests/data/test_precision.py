"""A series in another unit, mirrored or on a large offset is the same series: values are told apart, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from raw_folders import series

from genfoundry import config
from genfoundry.data.base import Dataset
from genfoundry.models.base import GenerativeModel
from genfoundry.models.bayes_ar import BayesAr
from genfoundry.models.linear_ar import LinearAr
from genfoundry.types import UserError

Prepare = Callable[..., Dataset]


def values() -> np.ndarray:
    rng, x = np.random.default_rng(0), np.zeros(240)
    for i in range(1, len(x)):
        x[i] = 0.7 * x[i - 1] + rng.normal()
    return x + 3 * np.sin(2 * np.pi * np.arange(len(x)) / 12)


def mase(prepare: Prepare, raw: Path, x: np.ndarray, kind: type[GenerativeModel], out: str) -> float:
    """Of the median forecast of every window of test."""
    raw.mkdir(exist_ok=True)
    (raw / "a.csv").write_text("t,v\n" + "".join(f"{i},{v!r}\n" for i, v in enumerate(map(float, x))))
    data = prepare(series(context=12), out=out)
    train, test = data.split("train"), data.split("test")
    model = kind(data.spec, config.check(kind.Config, {"order": 4}, "hyper"))
    model.begin("fit", train)
    batch = test.batch(torch.arange(len(test)))
    forecast = model.forecast(batch.cond, 5, (0.5,))[:, 0]  # type: ignore[operator]
    assert batch.cond is not None and model.sample(3, batch.cond[:3]).dtype == batch.x.dtype
    return float((forecast - batch.x).abs().mean() / train.scale)  # type: ignore[attr-defined]


UNITS = {"huge": (1e12, 0), "tiny": (1e-12, 0), "minus": (-1, 0), "offset": (1, 1e9), "beyond float32": (1e45, 0)}


@pytest.mark.parametrize("kind", [LinearAr, BayesAr])
def test_errors_do_not_depend_on_the_unit(kind: type[GenerativeModel], tmp_path: Path, prepare: Prepare) -> None:
    x = values()
    plain = mase(prepare, tmp_path / "raw", x, kind, "plain")
    for name, (factor, offset) in UNITS.items():
        assert mase(prepare, tmp_path / "raw", factor * x + offset, kind, name) == pytest.approx(plain, rel=1e-4), name


def test_float64_only_where_float32_does_not_do(tmp_path: Path, prepare: Prepare) -> None:
    for offset, wide in ((0, False), (300, False), (1e9, True)):
        mase(prepare, tmp_path / "raw", values() + offset, LinearAr, f"{offset}")
        data = Dataset(tmp_path / f"{offset}") if (tmp_path / f"{offset}").exists() else prepare(series(context=12))
        batch = data.split("val").batch(torch.tensor([0]))
        assert batch.x.dtype == (torch.float64 if wide else torch.float32)
        assert bool(data.meta.get("declared", {}).get("float64")) == wide


def test_what_float64_cannot_tell_apart_is_refused(tmp_path: Path, prepare: Prepare) -> None:
    with pytest.raises(UserError, match=r"column v: values around 1e\+15 .* in float64; subtract a constant, such as"):
        mase(prepare, tmp_path / "raw", values() + 1e15, LinearAr, "x")
