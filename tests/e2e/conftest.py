from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parent.parent))

from site_of import ROOT, good, hash_results, pipeline

from genfoundry.training import device
from pipeline.commands import golden
from pipeline.commands import smoke as smoke_stage


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository in which the smoke pipeline has run; tests that change it copy it first.

    In portable arithmetic where the processor can, so that its outs are those of every machine.
    """
    arithmetic = "native" if device.lacking_features() else "portable"
    site = smoke_stage.prepare(ROOT, tmp_path_factory.mktemp("smoke"), arithmetic)
    good(pipeline("repro", "--jobs", "1", root=site))
    made = {str(site): hash_results(site)}
    yield site
    changes = golden.differences(made, {str(site): hash_results(site)})
    assert not changes, "\n".join(["a test changed the smoke repository; copy it by site_of.copy_repository", *changes])
