"""Schemas of params.yaml: frozen, and closed to unknown keys. `load` reads the file."""

from genfoundry.config.dataset_schema import (
    Align,
    ClassRule,
    Dataset,
    Duplicates,
    Expect,
    File,
    Files,
    Folder,
    Judge,
    LabelColumn,
    Moving,
    Patch,
    Shares,
    Slices,
    Stack,
    Videos,
)
from genfoundry.config.experiment_schema import (
    Bound,
    Budget,
    Count,
    Data,
    Entry,
    Params,
    Run,
    Scalar,
    Search,
    Steps,
    Task,
    Train,
)
from genfoundry.config.strict import Frozen, check, suggest_names

__all__ = [
    "Align", "Bound", "Budget", "ClassRule", "Count", "Data", "Dataset", "Duplicates", "Entry", "Expect",
    "File", "Files", "Folder", "Frozen", "Judge", "LabelColumn", "Moving", "Params", "Patch", "Run", "Scalar",
    "Search", "Shares", "Slices", "Stack", "Steps", "Task", "Train", "Videos", "check", "suggest_names",
]  # fmt: skip
