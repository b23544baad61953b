"""`make init DATA=path [NAME=name] [CLASSES=... LABEL=... SIZE=...]`: entries for one's own data in params.yaml, an
inbox, what was chosen and why."""

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
    """`keys` are keys of the data set's entry as key=value, which settle what files alone do not show."""
    if not data:
        raise UserError("DATA is missing: make init DATA=path/to/your/data [NAME=name]")
    if "=" in name:
        name, keys = "", (name, *keys)
    given = dict(map(key_and_value, keys))
    path = Path(data).expanduser()
    reserved_folders.check_source_path(path, HERE, "DATA")
    params = resolve.settings()
    name = free(name or name_of(path), params)
    proposal = propose.propose(path, name, params, given)
    text = yaml_insert.insert_entries(resolve.PARAMS.read_text(encoding="utf-8"), proposal.sections)
    check(text)
    inbox(name)
    files.write_bytes(resolve.PARAMS, text.encode())
    for line in proposal.said:
        print(f"  {line}")
    wrote = [f"{section}: {', '.join(entries)}" for section, entries in proposal.sections.items() if entries]
    print(f"params.yaml now has {'; '.join(wrote)}. Files put into {paths.inbox(name)}/ join it later.")
    then = "make plan, then make repro" if proposal.sections["experiments"] else f"dvc repro validate@{name}"
    print(f"next: {then}; to keep it: git add params.yaml data/inbox")


def name_of(path: Path) -> str:
    """A name made of the path's own: one that YAML reads as more than a string, such as 2020, gets a word before it."""
    name = re.sub(r"[^a-z0-9]+", "-", path.resolve().name.partition(".")[0].lower()).strip("-")
    return f"data-{name}" if yaml_file.read_as(name) else name


def key_and_value(text: str) -> tuple[str, Any]:
    """A key of the entry and its value, of key=value.

    Raises:
        UserError: it is something else; the key itself is checked with the entry.
    """
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise UserError(f"{text!r}: key=value is right, such as classes=top (make init ... CLASSES=top)")
    return key, yaml_file.parse(value, key)


def free(name: str, params: Params) -> str:
    """The name, if an entry may have it.

    Raises:
        UserError: it is taken, or no name that a path and a key can be.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise UserError(f"NAME={name!r}: small letters, digits, - and _ are right")
    if kind := yaml_file.read_as(name):
        raise UserError(f"NAME={name!r}: YAML reads this name as {kind}; another is right, such as NAME=data-{name}")
    if name in params.datasets:
        raise UserError(f"params.yaml: datasets: {name!r} is taken; choose another with NAME=...")
    if (tracked := paths.inbox(name).with_suffix(".dvc")).exists():
        raise UserError(
            f"{tracked}: an inbox of this name is there already; choose another name with NAME=..., or remove it: "
            f"dvc remove {tracked}"
        )
    return name


def check(text: str) -> None:
    """Hold the new params.yaml to all that the old one is held to, before it is written."""
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / paths.PARAMS
        new.write_text(text, encoding="utf-8")
        if faults := list(resolve.faults(resolve.settings(new))):
            raise UserError("\n".join(faults))


def inbox(name: str) -> None:
    """An empty inbox that DVC tracks, as `make setup` expects; all or nothing."""
    folder = paths.inbox(name)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        shell.ask("dvc", "add", folder, root=HERE)
    except UserError:
        if made:
            shutil.rmtree(folder)
        raise
