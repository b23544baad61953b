"""What `make init` proposes for data, checked as the project's params.yaml is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genfoundry.config import load
from genfoundry.onboarding import propose, yaml_insert
from pipeline.commands import init

ROOT = Path(__file__).parent.parent
PARAMS = load.read_params(ROOT / "params.yaml")


def proposed(path: Path, **given: Any) -> tuple[dict[str, Any], propose.Proposal]:
    """The data set's entry, and the proposal; with it the project's params.yaml is still valid."""
    proposal = propose.propose(path, "mine", PARAMS, given)
    init.check_params(yaml_insert.insert_entries((ROOT / "params.yaml").read_text(), proposal.sections))
    return proposal.sections["datasets"]["mine"], proposal
