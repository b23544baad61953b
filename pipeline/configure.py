"""`python -m pipeline configure KEY=VALUE...`: settings at the top of params.yaml, changed for good and said so."""

import re
from pathlib import Path

from genfoundry import experiment
from genfoundry.types import UserError


def run(*settings: str) -> None:
    for setting in settings:
        key, _, value = setting.partition("=")
        change(Path(), key, value)
        print(f"params.yaml: {key} is {value} from now on (git diff params.yaml)")


def change(root: Path, key: str, value: str) -> None:
    """Set one of params.yaml's plain values (seed, threads, device, arithmetic, budget, ...); comments stay.

    Raises:
        UserError: no such key, or a value that it does not take; params.yaml is then as it was.
    """
    path = root / experiment.PARAMS
    before = path.read_text(encoding="utf-8")
    keys = re.findall(r"(?m)^(\w+): *[^\s#]", before)
    if key not in keys:
        raise UserError(f"params.yaml: {key!r} cannot be set so; one of {', '.join(keys)}")
    after = re.sub(rf"(?m)^({key}: *)[^\s#]+", lambda match: match[1] + value, before)
    path.write_text(after, encoding="utf-8")
    try:
        experiment.settings(path)
    except UserError:
        path.write_text(before, encoding="utf-8")
        raise
