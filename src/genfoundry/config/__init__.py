"""Schemas of params.yaml: frozen, and a key that is not known is an error. No dict passes below `experiment.py`."""

from genfoundry.config.base import Frozen, alternatives, check
from genfoundry.config.dataset import (
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
    Videos,
)
from genfoundry.config.params import Bound, Budget, Count, Data, Entry, Params, Scalar, Search, Steps, Task, Train
from genfoundry.config.references import read
from genfoundry.config.yaml_file import read_as

__all__ = [
    "Align",
    "Bound",
    "Budget",
    "ClassRule",
    "Count",
    "Data",
    "Dataset",
    "Duplicates",
    "Entry",
    "Expect",
    "File",
    "Files",
    "Folder",
    "Frozen",
    "Judge",
    "LabelColumn",
    "Moving",
    "Params",
    "Patch",
    "Scalar",
    "Search",
    "Shares",
    "Slices",
    "Steps",
    "Task",
    "Train",
    "Videos",
    "alternatives",
    "check",
    "read",
    "read_as",
]
