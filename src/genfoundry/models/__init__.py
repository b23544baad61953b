"""One model a file: the module's name is the model's name, its public class the name in CamelCase."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

from genfoundry.errors import UserError

if TYPE_CHECKING:
    from genfoundry.models.base import Learner

NO_MODELS = ("base", "checkpoint")


def names(folder: Path | None = None) -> list[str]:
    """Every model there is a file of."""
    where = [str(folder)] if folder else __path__
    return sorted(m.name for m in pkgutil.iter_modules(where) if m.name not in NO_MODELS)


def find(name: str) -> type[Learner]:
    """The class of a model.

    Raises:
        UserError: there is no such file.
    """
    if name not in names():
        raise UserError(f"model {name!r} is not known; there are {', '.join(names())}")
    module = importlib.import_module(f"genfoundry.models.{name}")
    found: type[Learner] = getattr(module, "".join(part.capitalize() for part in name.split("_")))
    return found
