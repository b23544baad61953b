"""A folder to run `make init` in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from proposals import ROOT

LONGEST = ("test_pipeline", "test_retrain", "test_user_files", "test_portable", "test_clusters")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest files first: with two workers, one would wait for the other's last file.

    The second worker's first files need no smoke pipeline, which the first worker makes meanwhile.
    """
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order) + ("e2e" not in item.path.parts)))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the project's params.yaml, and nothing that `dvc add` could work on."""
    (tmp_path / "site").mkdir()
    shutil.copy(ROOT / "params.yaml", tmp_path / "site")
    monkeypatch.chdir(tmp_path / "site")
    return tmp_path / "site"
