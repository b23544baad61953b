"""Refusal of parameters that a registered model does not take: MLflow drops them and only logs a warning.

Nothing of MLflow's is changed: a filter of its logger reads that warning, as MLflow 3.17 words it, and raises. Where
the wording is another, the parameter is dropped as before; tests/serving/test_scoring.py would say so.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

LOGGER = "mlflow.models.utils"
WARNING = re.compile(r"Unrecognized params \[(?P<dropped>.*?)\] are ignored.*Supported params are: \{(?P<taken>.*?)\}")


class DroppedParams(logging.Filter):
    """Raises `error` in place of the warning, for models that take the parameters `names`."""

    def __init__(self, names: frozenset[str], error: Callable[[str], Exception]) -> None:
        super().__init__()
        self.names, self.error = names, error

    def filter(self, record: logging.LogRecord) -> bool:
        """Let the record through, unless it says that a parameter of such a model was dropped: then raise."""
        # The message names the parameters that the model takes: by them, other models of the process are let alone.
        match = WARNING.search(record.getMessage())
        if match and set(re.findall(r"'(\w+)'", match["taken"])) == self.names:
            dropped = ", ".join(sorted(match["dropped"].split(", ")))
            raise self.error(f"{dropped}: unknown parameter; expected {', '.join(sorted(self.names))}")
        return True


def refuse_dropped_params(names: frozenset[str], error: Callable[[str], Exception]) -> None:
    """Raise `error` with one line for parameters that are not among `names`; calling it twice is the same as once."""
    logger = logging.getLogger(LOGGER)
    if not logger.isEnabledFor(logging.WARNING):  # a pipeline has MLflow say nothing, this included
        logger.setLevel(logging.WARNING)
    if not any(isinstance(f, DroppedParams) and f.names == names for f in logger.filters):
        logger.addFilter(DroppedParams(names, error))
