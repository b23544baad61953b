"""The rule that chooses a data set's cover."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import showcase
from safetensors.numpy import save_file

from genfoundry import paths
from genfoundry.files import read_json, write_json
from genfoundry.reporting.site import covers, results
from genfoundry.reporting.site.charts import Chart
from genfoundry.reporting.site.rendering import Picture, Text


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return showcase.outs(tmp_path)


def cover(root: Path, dataset: str = showcase.DATA) -> Picture | Text | Chart | None:
    return covers.cover(results.Results.read(root), dataset)


def title(root: Path, dataset: str = showcase.DATA) -> str:
    shown = cover(root, dataset)
    assert shown is not None
    return shown.title


def change(path: Path, **values: object) -> None:
    write_json(path, {**read_json(path), **values})


def test_a_champions_samples_come_first(root: Path) -> None:
    assert title(root) == f"{showcase.GAN}, samples"


def test_grey_samples_come_before_binarised_ones(root: Path) -> None:
    change(root / "reports/scores" / showcase.DATA / showcase.GAN / "card.json", binarise="dynamic")
    assert title(root) == f"{showcase.VAE}, samples"


def test_noise_is_no_cover_and_real_items_stand_in(root: Path) -> None:
    path = root / "reports/baselines" / f"{showcase.GAN}-task" / "card.json"
    card = read_json(path)
    card["rows"]["pixel-means"]["figures"]["test"]["frechet"] = 8.0  # below both models'
    for task in (showcase.GAN, showcase.VAE):
        write_json(root / "reports/baselines" / f"{task}-task" / "card.json", card)
    shutil.copy(root / "reports/panels" / showcase.GAN / "samples.png", path.parent / "real-against-real.png")
    assert title(root) == "Real items"


def test_a_task_of_restoration_shows_restored_images(root: Path) -> None:
    change(root / "reports/ranking" / f"{showcase.GAN}-task.json", objective="restore_mask_psnr")
    assert title(root) == f"{showcase.GAN}, restored_mask"


def test_translations_are_a_table_of_pairs(root: Path) -> None:
    change(root / "reports/ranking" / f"{showcase.LINEAR}-task.json", objective="chrf")
    lines = [f"source      ore {k}\ntranslated  o'er {k}\ntrue        over {k}" for k in range(9)]
    (root / "reports/panels" / showcase.LINEAR / "translations.txt").write_text("\n\n".join(lines) + "\n")
    shown = cover(root, showcase.SERIES)
    assert isinstance(shown, Text)
    assert shown.pairs == [(f"ore {k}", f"o'er {k}", f"over {k}") for k in range(covers.MAX_PAIRS)]


def test_a_series_without_a_picture_is_plotted(root: Path) -> None:
    shutil.rmtree(root / "reports/panels")
    assert cover(root, showcase.SERIES) is None
    folder = root / paths.prepared(showcase.SERIES)
    folder.mkdir(parents=True)
    save_file({"x": np.array([[1.0], [np.nan], [3.0]])}, folder / "test.safetensors")
    write_json(folder / "spec.json", {"modality": "series", "spec": {"shape": [5, 1]}, "counts": {"test": 3}})
    shown = cover(root, showcase.SERIES)
    assert isinstance(shown, Chart)
    assert "0 to 2, value from 1 to 3" in shown.svg
