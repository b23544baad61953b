"""`prepare`, which every modality's tests call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from genfoundry import config
from genfoundry.data import dataset as data_dataset
from genfoundry.data import preparation


@pytest.fixture
def prepare(tmp_path: Path) -> Callable[..., data_dataset.Dataset]:
    """Prepares tmp_path/raw and tmp_path/inbox."""

    def run(dataset: config.Dataset, seed: int = 20, out: str = "prepared") -> data_dataset.Dataset:
        preparation.prepare(tmp_path / "raw", tmp_path / "inbox", tmp_path / out, dataset, seed)
        return data_dataset.Dataset(tmp_path / out)

    return run
