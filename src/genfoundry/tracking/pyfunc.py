"""The MLflow model (pyfunc flavour) of every family. MLflow imports this file from the code stored with the model.

A request is a table; a row with something to score (`x`, or `text`) is scored, any other row asks for samples:
- images: `n` samples (default 1);                       `x` (C, H, W), whole numbers 0..levels-1, to score
- text:   `n` samples that go on from `prompt`;          `text` to score
- lines:  the same, a line a sample
- series: `n` samples that go on from `past` (P, D);     `x` (T, D) after `past` to score
- video:  `n` samples that go on from `past` (P, C, H, W);  `x` (T, C, H, W) after `past` to score
- pairs:  `n` targets of the source `prompt`
Parameters: label (-1: any class), temperature, top_k, top_p, length (of text), seed.
Samples come back as the columns `row` (of the request) and `sample`; scores as `row`, `nll` (nats) and the score in
the unit of the modality (bits_per_dim, nats_per_char, nats).
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE

from genfoundry.errors import UserError
from genfoundry.serving import request, value_checks
from genfoundry.serving.predictor import Predictor
from genfoundry.serving.request import RequestRow
from genfoundry.tracking.dropped_params import refuse_dropped_params
from genfoundry.types import Draw


class RequestError(MlflowException):  # type: ignore[misc]
    """A request that cannot be answered: by default status 400, and one line that names field, value and remedy."""

    def __init__(self, line: str, code: int = INVALID_PARAMETER_VALUE) -> None:
        super().__init__(line, error_code=code)
        self.line = line

    def serialize_as_json(self) -> str:
        """The answer of MLflow's server, which has put the whole request before `message` by now."""
        return json.dumps({"error_code": self.error_code, "message": self.line})


class PyfuncModel:
    """Samples and scores of the model in a folder: safetensors and JSON."""

    def __init__(self, folder: Path) -> None:
        self.predictor = Predictor(folder)

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Answer a request; the module says what it may hold.

        Raises:
            RequestError: the request is not one that this model takes.
        """
        try:
            return pd.DataFrame(self._answer(model_input, params))
        except UserError as error:
            # The server's answer is JSON, in which a line end shows as a backslash and an n.
            raise RequestError(" ".join(str(error).split())) from None
        except Exception as error:
            # The traceback is for the server's log: an answer must show neither paths nor code.
            logging.getLogger(__name__).exception("a request failed")
            raise RequestError(f"the model failed: {type(error).__name__}", INTERNAL_ERROR) from error

    def _answer(self, data: Any, params: Mapping[str, Any] | None) -> list[RequestRow]:
        predictor = self.predictor
        rows = request.parse_rows(data, predictor.modality, predictor.spec)
        settings = request.parse_parameters(params)
        scored = "text" if predictor.alphabet else "x"
        scoring = [scored in row for row in rows]
        if any(scoring) and not all(scoring):
            raise UserError(f"{scored}: missing in row {scoring.index(False)}: expected in every row, or in none")
        # A column of nulls is a client's mistake: without this check it would be answered by samples.
        if not any(scoring) and isinstance(data, pd.DataFrame) and scored in data.columns:
            raise UserError(f"{scored}: null in every row: expected a value to score, or no such column")
        if not any(scoring):
            length = int(settings["length"])
            # The sum is limited, too: many rows of one request must not fill the memory either.
            predictor.check_size(sum(predictor.check_size(row.get("n", 1), length) for row in rows), length)
        answers: list[RequestRow] = []
        for index, row in enumerate(rows):
            try:
                answers += (self._score if any(scoring) else self._sample)(index, row, settings)
            except UserError as error:
                raise UserError(f"row {index}: {error}" if len(rows) > 1 else str(error)) from None
        return answers

    def _sample(self, index: int, row: RequestRow, settings: Mapping[str, float]) -> list[RequestRow]:
        shape = self.predictor.spec.cond_shape or ()
        samples = self.predictor.sample(
            int(row.get("n", 1)),
            label=int(settings["label"]),
            prompt=value_checks.check_text(row.get("prompt", ""), "prompt"),
            past=value_checks.parse_array(row["past"], "past", shape) if "past" in row else None,
            length=int(settings["length"]),
            draw=Draw(settings["temperature"], int(settings["top_k"]), settings["top_p"]),
            # Equal rows of a request get different samples, and the same ones in the next equal request.
            seed=int(settings["seed"]) + index,
        )
        return [{"row": index, "sample": x if isinstance(x, str) else x.tolist()} for x in samples]

    def _score(self, index: int, row: RequestRow, settings: Mapping[str, float]) -> list[RequestRow]:
        seed, spec = int(settings["seed"]) + index, self.predictor.spec
        if unused := [name for name in ("n", "prompt") if name in row]:
            raise UserError(f"{unused[0]}: {row[unused[0]]!r}: expected no such column beside what is scored")
        if self.predictor.alphabet:
            scores, characters = self.predictor.score_text(value_checks.check_text(row["text"], "text"), seed)
            nats, values = float(scores.sum()), int(characters.sum())
        else:
            past = value_checks.parse_array(row["past"], "past", spec.cond_shape or ())[None] if "past" in row else None
            # A missing value (NaN) has no likelihood, so that it does not count among the values either.
            x = value_checks.parse_array(row["x"], "x", spec.shape)[None]
            nats, values = float(self.predictor.score(x, past, seed)[0]), int((~np.isnan(x)).sum())
        return [{"row": index, "nll": nats, self.predictor.unit: self.predictor.per_value(nats, values)}]


def _load_pyfunc(path: str) -> PyfuncModel:
    """Load the model in the folder `path` by the code beside it; MLflow calls this."""
    # MLflow lays a model out as MODEL/data/model and MODEL/code.
    _extend_search_path(Path(path).parents[1] / "code")
    refuse_dropped_params(frozenset(request.DEFAULTS), RequestError)
    return PyfuncModel(Path(path))


def _extend_search_path(code: Path) -> None:
    """Find this package's modules in `code` too: the folder of the version that was loaded first may be gone."""
    package = __name__.partition(".")[0]
    for name, module in list(sys.modules.items()):
        ours = name == package or name.startswith(f"{package}.")
        folder = str(code.joinpath(*name.split(".")))
        if ours and hasattr(module, "__path__") and folder not in module.__path__ and Path(folder).is_dir():
            module.__path__.append(folder)
