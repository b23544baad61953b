"""Models, one a file: the module's name is the model's name, its public class the name in CamelCase.

May import nn, data (as a type) and the ground files. A model never imports another one.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from genfoundry.errors import UserError

if TYPE_CHECKING:
    from genfoundry.models.base import Learner

NO_MODELS = ("abilities", "base", "checkpoint", "families")


def names() -> list[str]:
    """Return the names of all models, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in NO_MODELS)


def find(name: str) -> type[Learner]:
    """Import a model and return its class.

    Raises:
        UserError: there is no model of that name.
    """
    if name not in names():
        raise UserError(f"model {name!r} is not known; expected one of {', '.join(names())}")
    module = importlib.import_module(f"genfoundry.models.{name}")
    model_class: type[Learner] = getattr(module, "".join(part.capitalize() for part in name.split("_")))
    return model_class
