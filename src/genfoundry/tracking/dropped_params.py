"""A parameter that a registered model does not know is an error: MLflow drops it and only logs a warning.

Nothing of MLflow's is changed: a filter of its logger reads that warning, as MLflow 3.17 words it, and raises. Where
the wording is another, the parameter is dropped as before; tests/test_scoring.py would say so.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

LOGGER = "mlflow.models.utils"
WARNING = re.compile(r"Unrecognized params \[(?P<unknown>.*?)\] are ignored.*Supported params are: \{(?P<known>.*?)\}")


class DroppedParams(logging.Filter):
    """Raises in place of the warning, for models whose parameters are `known`; others are left alone."""

    def __init__(self, known: frozenset[str], error: Callable[[str], Exception]) -> None:
        super().__init__()
        self.known, self.error = known, error

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged.

        Raises:
            Exception: `error`'s, where it says that a parameter of such a model was dropped.
        """
        match = WARNING.search(record.getMessage())
        if match and set(re.findall(r"'(\w+)'", match["known"])) == self.known:
            unknown = ", ".join(sorted(match["unknown"].split(", ")))
            raise self.error(f"{unknown}: unknown parameter; expected {', '.join(sorted(self.known))}")
        return True


def refuse_dropped_params(known: frozenset[str], error: Callable[[str], Exception]) -> None:
    """Have parameters that are not `known` refused with an error that is made of a line; twice is once."""
    logger = logging.getLogger(LOGGER)
    if not logger.isEnabledFor(logging.WARNING):  # a pipeline has MLflow say nothing, this included
        logger.setLevel(logging.WARNING)
    if not any(isinstance(one, DroppedParams) and one.known == known for one in logger.filters):
        logger.addFilter(DroppedParams(known, error))
