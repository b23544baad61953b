"""`genfoundry init`: add entries for your own data to params.yaml and an inbox; say what was chosen and why."""

import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from genfoundry import files, paths
from genfoundry.config import Params, yaml_file
from genfoundry.console import shell
from genfoundry.errors import UserError
from genfoundry.onboarding import propose, yaml_insert
from pipeline.orchestration import reserved_folders, resolve

HERE = Path()


def run(data: str, name: str = "", *settings: str) -> None:
    """Propose and write the entries.

    Args:
        data: path of the data.
        name: of the data set; by default made of the path's.
        settings: keys of the data set's entry as key=value, which settle what files alone do not show.

    Raises:
        UserError: the data cannot be read, or the name cannot be had; params.yaml is as it was.
    """
    if not data:
        raise UserError("DATA is missing: make init DATA=path/to/your/data [NAME=name]")
    given = parse_settings(settings)
    path = Path(data).expanduser()
    reserved_folders.check_source_path(path, HERE, "DATA")
    params = resolve.load_params()
    # Checked before the files are inspected, which takes minutes for many images.
    name = check_name(name or propose_name(path), params)
    proposal = propose.propose(path, name, params, given)
    text = yaml_insert.insert_entries(resolve.PARAMS.read_text(encoding="utf-8"), proposal.sections)
    check_params(text)
    make_inbox(name)
    # Last, since it alone makes the entry exist: a failure before leaves params.yaml as it was.
    files.write_bytes(resolve.PARAMS, text.encode())
    for line in proposal.notes:
        print(f"  {line}")
    wrote = [f"{section}: {', '.join(entries)}" for section, entries in proposal.sections.items() if entries]
    print(f"params.yaml now has {'; '.join(wrote)}. Files put into {paths.inbox(name)}/ join it later.")
    then = "make plan, then make repro" if proposal.sections["experiments"] else f"dvc repro validate@{name}"
    print(f"next: {then}; to keep it: git add params.yaml data/inbox")


def propose_name(path: Path) -> str:
    """Make a name of the path's; one that YAML reads as more than a string, such as 2020, gets a word before it."""
    name = re.sub(r"[^a-z0-9]+", "-", path.resolve().name.partition(".")[0].lower()).strip("-")
    # A name such as 2020 or no would have to be quoted wherever it stands.
    return f"data-{name}" if yaml_file.describe_scalar(name) else name


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """Parse each key=value.

    Raises:
        UserError: one is something else, or a key is given twice.
    """
    given: dict[str, Any] = {}
    for key, value in map(parse_setting, settings):
        if key in given:
            raise UserError(f"{key}: expected once, got {given[key]} and {value}")
        given[key] = value
    return given


def parse_setting(text: str) -> tuple[str, Any]:
    """Parse key=value; the key itself is checked with the entry.

    Raises:
        UserError: it is something else.
    """
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise UserError(f"expected key=value, such as classes=top (make init ... CLASSES=top), got {text!r}")
    return key, yaml_file.parse_yaml(value, key)


def check_name(name: str, params: Params) -> str:
    """Return the name, if an entry may have it.

    Raises:
        UserError: it is taken, or no name that a path and a key can be.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise UserError(f"NAME={name!r}: expected small letters, digits, - and _")
    if kind := yaml_file.describe_scalar(name):
        raise UserError(f"NAME={name!r}: YAML reads this name as {kind}; expected another, such as NAME=data-{name}")
    if name in params.datasets:
        raise UserError(f"params.yaml: datasets: {name!r} is taken; choose another with NAME=...")
    # An entry that was removed by hand leaves its inbox behind, whose files would join the new data set.
    if (tracked := paths.inbox(name).with_suffix(".dvc")).exists():
        raise UserError(
            f"{tracked}: an inbox of this name is there already; choose another name with NAME=..., or remove it: "
            f"dvc remove {tracked}"
        )
    return name


def check_params(text: str) -> None:
    """Check the new params.yaml, before it is written.

    Raises:
        UserError: a line for each fault.
    """
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder) / paths.PARAMS
        new.write_text(text, encoding="utf-8")
        if faults := list(resolve.find_faults(resolve.load_params(new))):
            raise UserError("\n".join(faults))


def make_inbox(name: str) -> None:
    """Make an empty inbox that DVC tracks, as `make setup` expects; all or nothing."""
    folder = paths.inbox(name)
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        shell.ask("dvc", "add", folder, root=HERE)
    except UserError:
        if made:  # one that was there may hold files of the user
            shutil.rmtree(folder)
        raise
