from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parent.parent))

from site_of import ROOT, good, pipeline

from genfoundry.training import device
from pipeline.commands import smoke as smoke_stage


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which the smoke pipeline has run; tests that change it clone it first.

    In portable arithmetic where the processor can, so that its outs are those of every machine.
    """
    arithmetic = "native" if device.lacking_features() else "portable"
    site = smoke_stage.prepare(ROOT, tmp_path_factory.mktemp("smoke"), arithmetic)
    good(pipeline("repro", "--jobs", "1", root=site))
    return site
