"""A folder to run `make init` in."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from proposals import ROOT


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the project's params.yaml, and nothing that `dvc add` could work on."""
    (tmp_path / "site").mkdir()
    shutil.copy(ROOT / "params.yaml", tmp_path / "site")
    monkeypatch.chdir(tmp_path / "site")
    return tmp_path / "site"
