"""What `make init` proposes for data, held to what the project's params.yaml is held to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genfoundry.config import load
from genfoundry.onboarding import propose, yaml_insert
from pipeline.commands import init

ROOT = Path(__file__).parent.parent
PARAMS = load.read_params(ROOT / "params.yaml")


def proposed(path: Path, **given: Any) -> tuple[dict[str, Any], propose.Proposal]:
    """The data set's entry, and the proposal; with it the project's params.yaml is as right as before."""
    found = propose.propose(path, "mine", PARAMS, given)
    init.check_params(yaml_insert.insert_entries((ROOT / "params.yaml").read_text(), found.sections))
    return found.sections["datasets"]["mine"], found
