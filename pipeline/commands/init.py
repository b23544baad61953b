"""`make init DATA=path [NAME=name] [CLASSES=... LABEL=... SIZE=...]`: write entries for a user's data to params.yaml,
make an inbox, and print what was chosen and why."""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from genfoundry import files, paths, shell
from genfoundry.config import Params, yaml_file
from genfoundry.errors import UserError
from genfoundry.onboarding import propose, yaml_insert
from pipeline.orchestration import reserved_folders, resolve

HERE = Path()


def run(data: str, name: str = "", *keys: str) -> None:
    """Write the entries. `keys` are keys of the data set's entry as key=value, for what files alone do not show."""
    if not data:
        raise UserError("DATA is missing: make init DATA=path/to/your/data [NAME=name]")
    if "=" in name:
        name, keys = "", (name, *keys)
    given = dict(map(parse_key, keys))
    path = Path(data).expanduser()
    reserved_folders.check_source_path(path, HERE, "DATA")
    params = resolve.settings()
    name = check_name(name or make_name(path), params)
    proposal = propose.propose(path, name, params, given)
    text = yaml_insert.insert_entries(resolve.PARAMS.read_text(encoding="utf-8"), proposal.sections)
    check_params(text)
    make_inbox(name)
    files.write_bytes(resolve.PARAMS, text.encode())
    for line in proposal.notes:
        print(f"  {line}")
    written = [f"{section}: {', '.join(entries)}" for section, entries in proposal.sections.items() if entries]
    print(f"params.yaml now has {'; '.join(written)}. Files put into {paths.inbox(name)}/ join it later.")
    then = "make plan, then make repro" if proposal.sections["experiments"] else f"dvc repro validate@{name}"
    print(f"next: {then}; to keep it: git add params.yaml data/inbox")


def make_name(path: Path) -> str:
    """A data set's name, made of the path's: one that YAML takes for a number, such as 2020, gets a word before it."""
    name = re.sub(r"[^a-z0-9]+", "-", path.resolve().name.partition(".")[0].lower()).strip("-")
    return f"data-{name}" if yaml_file.read_as(name) else name


def parse_key(text: str) -> tuple[str, Any]:
    """Parse key=value into a key of the entry and its value.

    Raises:
        UserError: it has another form; the key itself is checked with the entry.
    """
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise UserError(f"{text!r}: expected key=value, such as classes=top (make init ... CLASSES=top)")
    return key, yaml_file.parse(value, key)


def check_name(name: str, params: Params) -> str:
    """Return the name if a new data set may have it.

    Raises:
        UserError: it is taken, or cannot be a path and a key.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise UserError(f"NAME={name!r}: expected small letters, digits, - and _")
    if kind := yaml_file.read_as(name):
        raise UserError(f"NAME={name!r}: YAML reads this name as {kind}; choose another, such as NAME=data-{name}")
    if name in params.datasets:
        raise UserError(f"params.yaml: datasets: {name!r} is taken; choose another with NAME=...")
    if (tracked := paths.inbox(name).with_suffix(".dvc")).exists():
        raise UserError(
            f"{tracked}: an inbox of this name is there already; choose another name with NAME=..., or remove it: "
            f"dvc remove {tracked}"
        )
    return name


def check_params(text: str) -> None:
    """Check the new params.yaml as the present one is checked, before it is written."""
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder, "params.yaml")
        new.write_text(text, encoding="utf-8")
        if faults := list(resolve.faults(resolve.settings(new))):
            raise UserError("\n".join(faults))


def make_inbox(name: str) -> None:
    """Make an empty inbox that DVC tracks, as `make setup` expects; all or nothing."""
    folder = paths.inbox(name)
    new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        shell.ask("dvc", "add", folder, root=HERE)
    except UserError:
        if new:
            shutil.rmtree(folder)
        raise
