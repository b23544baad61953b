"""GenFoundry: from a data set to its best generative model.

`load` a model or a task's champion, `fit`, `save` and `evaluate` one from Python. Importing the package imports nothing
else: each name is imported when it is first used.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genfoundry.api import evaluate, fit, load, save
    from genfoundry.models.base import GenerativeModel, Learner
    from genfoundry.types import Batch, Spec

    __version__: str

__all__ = ["Batch", "GenerativeModel", "Learner", "Spec", "evaluate", "fit", "load", "save"]
_MODULES = dict.fromkeys(("evaluate", "fit", "load", "save"), "api") | dict.fromkeys(("Batch", "Spec"), "types")
_MODULES |= dict.fromkeys(("GenerativeModel", "Learner"), "models.base")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("genfoundry")
    if name not in _MODULES:
        raise AttributeError(f"module 'genfoundry' has no attribute {name!r}")
    # A name made at run time: what is imported here is no part of the code digest of every stage.
    return getattr(importlib.import_module(f"genfoundry.{_MODULES[name]}"), name)


class _Package(ModuleType):
    """A package whose `evaluate` stays the function when the module `genfoundry.evaluate` is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if name != "evaluate":
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
