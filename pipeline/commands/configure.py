"""Edits of the plain settings at the top of params.yaml, which `genfoundry repro --budget` and `--arithmetic` make."""

import re
from pathlib import Path

from genfoundry.config import yaml_file
from genfoundry.errors import UserError
from pipeline.orchestration import resolve

PLAIN = (bool, int, float, str)


def change(root: Path, key: str, value: str) -> None:
    """Set one of params.yaml's plain values (seed, threads, device, arithmetic, budget, ...); comments stay.

    Raises:
        UserError: no such key, or a value that it does not take; params.yaml is then as it was.
    """
    path = root / resolve.PARAMS
    content = yaml_file.read_yaml(path)
    keys = [k for k, v in content.items() if isinstance(v, PLAIN)] if isinstance(content, dict) else []
    if key not in keys:
        raise UserError(f"params.yaml: {key!r} cannot be set so; expected one of {', '.join(keys)}")
    before = path.read_bytes()
    # The text is edited, since dumping YAML would lose the comments and the layout.
    after = re.sub(rf"(?m)^({key}: *)[^\s#]+", lambda match: match[1] + value, before.decode("utf-8-sig"))
    path.write_bytes(after.encode())
    try:
        resolve.load_params(path)
    except UserError:
        path.write_bytes(before)
        raise
