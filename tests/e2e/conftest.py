from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.append(str(Path(__file__).parent.parent))

from site_of import ROOT, good, hash_results, pipeline

from genfoundry import files
from genfoundry.training import device
from pipeline.commands import golden
from pipeline.commands import smoke as smoke_stage


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A repository in which the smoke pipeline has run, once for all workers; tests that change it copy it first.

    In portable arithmetic where the processor can, so that its outs are those of every machine.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # a worker's own folder is in the session's
    made = shared / "smoke.json"
    with files.file_lock(made):
        if not made.exists():
            site = make_smoke(tmp_path_factory.mktemp("smoke"))
            files.write_json(made, {str(site): hash_results(site)})
    results = files.read_json(made)
    (site,) = map(Path, results)
    yield site
    changes = golden.differences(results, {str(site): hash_results(site)})
    assert not changes, "\n".join(["a test changed the smoke repository; copy it by site_of.copy_repository", *changes])


def make_smoke(folder: Path) -> Path:
    arithmetic = "native" if device.lacking_features() else "portable"
    site = smoke_stage.prepare(ROOT, folder, arithmetic)
    good(pipeline("repro", "--jobs", "1", root=site))
    return site
