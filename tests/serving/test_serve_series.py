"""A served model of a series on a large offset: its past is not rounded to float32, and scores do not depend on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genfoundry import config
from genfoundry.data import dataset, preparation
from genfoundry.models import checkpoint
from genfoundry.models.linear_ar import LinearAr
from genfoundry.serving import score_file
from genfoundry.serving.predictor import Predictor

SHARES = config.Shares(val=0.2, gate=0.2, test=0.2)
SERIES = config.Dataset(modality="series", raw="sunspots", window=5, context=4, split=SHARES)


@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_scores_and_samples_do_not_depend_on_an_offset(offset: float, tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    values = np.sin(np.arange(200) / 3) + np.random.default_rng(0).normal(0, 0.1, 200)
    file = tmp_path / "raw/a.csv"
    file.write_text("t,v\n" + "".join(f"{t},{v + offset!r}\n" for t, v in enumerate(values.tolist())))
    preparation.prepare(tmp_path / "raw", tmp_path / "inbox", tmp_path / "data", SERIES, 20)
    data = dataset.Dataset(tmp_path / "data")
    model = LinearAr(data.spec, LinearAr.Config(order=4))
    model.begin("fit", data.split("train"))
    meta = {key: data.meta[key] for key in ("modality", "names", "declared") if key in data.meta}
    checkpoint.save(tmp_path / "model", model, {"meta": meta, "dataset": "x"})
    predictor = Predictor(tmp_path / "model")
    nats, _ = score_file.score_items(tmp_path, file, predictor, 0)
    assert nats.mean() / 5 == pytest.approx(-0.5554, abs=1e-3)
    past = offset + values[:4, None]
    (sample,) = predictor.sample(1, past=past, seed=3)
    assert np.abs(sample - past[-1]).max() < 2.5
    assert len(np.unique(sample)) == 5  # float32 has one number in 64 there
