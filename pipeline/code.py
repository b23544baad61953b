"""A digest of what each stage, model and judge runs: what the other stages depend on, instead of on lists of files."""

from pathlib import Path

import yaml

from genfoundry import checkpoint, imports, models, places

HERE = Path()


def run() -> None:
    checkpoint.write_json(places.CODE, digests(HERE))


def digests(root: Path) -> dict[str, dict[str, str]]:
    """Of every stage in dvc.yaml, every model, and every data set's judge ("none" where there is none)."""
    declared = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    datasets = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))["datasets"]
    folder = root / "src/genfoundry/models"
    by_model = {name: _of(root, folder / f"{name}.py") for name in models.names(folder)}
    judged = {name: (one.get("judge") or {}).get("model") for name, one in datasets.items()}
    return {
        "stages": {name: _of(root, root / f"pipeline/{name}.py", root / "pipeline/__main__.py") for name in declared},
        "models": by_model,
        "judges": {name: by_model.get(model, "none") for name, model in judged.items()},
    }


def _of(root: Path, *files: Path) -> str:
    return imports.digest(root, imports.closure(root, *files))
