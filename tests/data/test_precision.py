"""A series in another unit, mirrored or on a large offset is the same series: values are told apart, or refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_folders import series

from genfoundry import config
from genfoundry.data.dataset import Dataset
from genfoundry.errors import UserError
from genfoundry.evaluation.aggregate import aggregate
from genfoundry.evaluation.baselines import base as baselines
from genfoundry.evaluation.context import SplitContext
from genfoundry.evaluation.predict import predict, score
from genfoundry.models import checkpoint
from genfoundry.models.base import GenerativeModel
from genfoundry.models.bayes_ar import BayesAr
from genfoundry.models.linear_ar import LinearAr
from genfoundry.serving.predictor import Predictor
from pipeline.orchestration import resolve

ROOT = Path(__file__).parent.parent.parent
Prepare = Callable[..., Dataset]
KINDS: dict[str, type[GenerativeModel]] = {"linear_ar": LinearAr, "bayes_ar": BayesAr}
UNITS = {"1e7": (1, 1e7), "1e9": (1, 1e9), "nano": (1e-9, 0), "giga": (1e9, 0), "minus": (-1, 0), "beyond": (1e45, 0)}
MODES: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("linear_ar", {"order": 4}),
    "line": ("linear_ar", {"order": 3, "trend": "ct"}),
    "dummies": ("linear_ar", {"order": "bic", "most": 6, "season": 6}),
    "dummies alone": ("linear_ar", {"order": 2, "trend": "n", "season": 6}),
    "bayes": ("bayes_ar", {"order": 4}),
}
PARAMS = resolve.load_params(ROOT / "params.yaml")
MODES |= {
    name: (entry.model, dict(entry.hyper))
    for name, entry in PARAMS.experiments.items()
    if PARAMS.datasets[entry.dataset].modality == "series"
}  # every default model of a series


def values() -> np.ndarray:
    """(L, 2) whose season is 6."""
    rng, x = np.random.default_rng(0), np.zeros((500, 2))
    for i in range(1, len(x)):
        x[i] = 0.7 * x[i - 1] + rng.normal(size=2)
    return x + 3 * np.sin(2 * np.pi * np.arange(len(x)) / 6)[:, None]


def prepared(prepare: Prepare, raw: Path, x: np.ndarray, out: str) -> Dataset:
    raw.mkdir(exist_ok=True)
    lines = (f"{i},{a!r},{b!r}\n" for i, (a, b) in enumerate(x.tolist()))
    (raw / "a.csv").write_text("t,a,b\n" + "".join(lines))
    return prepare(series(context=60, numbered=True), out=out)


def flat(scores: Any, factor: float) -> dict[str, float]:
    """MASE, coverage, and nats a value less what the unit takes."""
    found = aggregate(scores, 10, "series", on_test=False)
    shifted = {"nats": found["nats"] - math.log(abs(factor))} if "nats" in found else {}
    return {"mase": found["mase"], "covered": found["covered"], **shifted}


def measured(data: Dataset, factor: float, folder: Path) -> dict[str, dict[str, float]]:
    """Of every mode of the models, of what it is once it is served, and of every row."""
    train, *rest = (data.split(name) for name in ("train", "val", "gate", "test"))
    test, out = rest[-1], {}
    for name, (kind, hyper) in MODES.items():
        model = KINDS[kind](data.spec, config.check(KINDS[kind].Config, hyper, "hyper"))
        model.begin("fit", train)
        out[name] = flat(
            score(predict(model, SplitContext(split=test, samples=1, seed=0)), SplitContext(split=test)), factor
        )
        meta = {key: data.meta[key] for key in ("modality", "names", "declared") if key in data.meta}
        checkpoint.save(folder / data.folder.name / name, model, {"meta": meta})
        batch, served = test.eval_batch(test.starts * 0), Predictor(folder / data.folder.name / name)  # type: ignore[attr-defined]
        assert batch.cond is not None
        nats = served.score(batch.x.numpy(), batch.cond.numpy())
        drawn = served.sample(1, past=batch.cond[0].numpy(), seed=3)[0]
        step = (drawn - batch.x[0].numpy()) / train.scale.numpy()  # type: ignore[attr-defined]
        out[f"{name}, served"] = {"nats": nats[0] / 10 - math.log(abs(factor)), "step": float(np.abs(step).mean())}
    known = baselines.BaselineInputs(train, {part.name: part for part in rest}, {})
    rows = {
        row.name: score(row.predict(test), SplitContext(split=test)) for row in baselines.fit_baselines(known, "series")
    }
    return out | {name: flat(scores, factor) for name, scores in rows.items()}


def test_figures_do_not_depend_on_the_unit(tmp_path: Path, prepare: Prepare) -> None:
    x = values()
    plain = measured(prepared(prepare, tmp_path / "raw", x, "plain"), 1, tmp_path)
    assert {"persistence", "seasonal-naive-6", "ets"} <= plain.keys() and all(map(len, plain.values()))
    for unit, (factor, offset) in UNITS.items():
        found = measured(prepared(prepare, tmp_path / "raw", factor * x + offset, unit), factor, tmp_path)
        for name, figures in found.items():
            if unit == "minus" and "served" in name:
                continue  # a draw is not mirrored
            assert figures == pytest.approx(plain[name], rel=1e-4, abs=1e-4), (unit, name)


def test_what_float64_cannot_tell_apart_is_refused(tmp_path: Path, prepare: Prepare) -> None:
    with pytest.raises(
        UserError,
        match=r"column a: expected values that can be told apart, got some around 1e\+15 .* in float64; subtract a",
    ):
        prepared(prepare, tmp_path / "raw", values() + 1e15, "x")
