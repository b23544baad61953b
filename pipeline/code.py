"""A digest of what each stage, model and judge runs: what the other stages depend on, instead of on lists of files."""

from pathlib import Path

from genfoundry import checkpoint, graph, imports, models, places

HERE = Path()


def run() -> None:
    checkpoint.write_json(places.CODE, digests(HERE))


def digests(root: Path) -> dict[str, dict[str, str]]:
    """Of every stage in dvc.yaml, every model, and every data set's judge ("none" where there is none)."""
    declared = graph.read(root / "dvc.yaml")["stages"]
    judges = imports.judges(root)
    names = {"stages": declared, "models": models.names(root / "src/genfoundry/models"), "judges": judges}
    return {
        kind: {name: imports.digest(root, imports.files(root, f"{kind}.{name}", judges)) for name in of}
        for kind, of in names.items()
    }
