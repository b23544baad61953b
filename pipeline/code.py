"""A digest of what each stage, model and judge runs: what the other stages depend on, instead of on lists of files."""

from pathlib import Path

from genfoundry import checkpoint, graph, imports, models, places, reserved
from genfoundry.types import UserError

HERE = Path()


def run() -> None:
    check_sources(HERE)
    checkpoint.write_json(places.CODE, digests(HERE))


def check_sources(root: Path) -> None:
    """Refuse a source in a folder of the pipeline's own.

    It stands here since this stage runs before every other one when params.yaml was edited: DVC removes a stage's outs
    before the stage itself could refuse.
    """
    datasets = graph.read(root / "params.yaml").get("datasets") or {}
    sources = {name: entry.get("raw") for name, entry in datasets.items() if isinstance(entry, dict)}
    if faults := list(reserved.find_misplaced(sources, root)):
        raise UserError("\n".join(f"params.yaml: {fault}" for fault in faults))


def digests(root: Path) -> dict[str, dict[str, str]]:
    """Of every stage in dvc.yaml, every model, and every data set's judge ("none" where there is none)."""
    declared = graph.read(root / "dvc.yaml")["stages"]
    judges = imports.judges(root)
    names = {"stages": declared, "models": models.names(root / "src/genfoundry/models"), "judges": judges}
    return {
        kind: {name: imports.digest(root, imports.files(root, f"{kind}.{name}", judges)) for name in of}
        for kind, of in names.items()
    }
