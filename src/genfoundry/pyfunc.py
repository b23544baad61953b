"""The one registered model of all families, logged as code: MLflow runs this file when it loads a model.

A request is a DataFrame; a row with something to score (`x`, or `text`) is scored, any other row asks for samples:
- images: `n` samples (default 1);                       `x` (C, H, W), whole numbers 0..levels-1, to score
- text:   `n` samples that go on from `prompt`;          `text` to score
- lines:  the same, a line a sample
- series: `n` samples that go on from `past` (P, D);     `x` (T, D) after `past` to score
- video:  `n` samples that go on from `past` (P, C, H, W);  `x` (T, C, H, W) after `past` to score
Parameters: label (-1: any class), temperature, top_k, top_p, length (of text), seed.
Samples come back as the columns `row` (of the request) and `sample`; scores as `row`, `nll` (nats) and the figure in
the unit of the modality (bits_per_dim, nats_per_char, nats).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.models
import mlflow.pyfunc
import numpy as np
import pandas as pd

from genfoundry.served import Served
from genfoundry.types import Draw, UserError

COLUMNS = {
    "images": ("n", "x"),
    "text": ("n", "prompt", "text"),
    "lines": ("n", "prompt", "text"),
    "series": ("n", "past", "x"),
    "video": ("n", "past", "x"),
    "pairs": ("n", "prompt"),
}


class Pyfunc(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Samples and scores of the model in the artifact `model`: safetensors and JSON."""

    def load_context(self, context: Any) -> None:
        self.served = Served(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """See the module."""
        frame = model_input
        allowed = COLUMNS[self.served.modality]
        unknown = [str(name) for name in frame.columns if name not in allowed]
        if unknown or frame.empty:
            wrong = f"unknown column {', '.join(unknown)}" if unknown else "nothing asked for"
            raise UserError(f"request: {wrong}; a row a request, with columns among {', '.join(allowed)}")
        rows = [{str(k): v for k, v in row.items() if not _empty(v)} for row in frame.to_dict("records")]
        what = "text" if self.served.alphabet else "x"
        scoring = [what in row for row in rows]
        if any(scoring) and not all(scoring):
            raise UserError(
                f"request: row {scoring.index(False)} has no {what}, others have; score or sample, not both"
            )
        answer = self._score if scoring[0] else self._sample
        return pd.DataFrame([one for i, row in enumerate(rows) for one in answer(i, row, params or {})])

    def _sample(self, index: int, row: dict[str, Any], params: dict[str, Any]) -> list[dict[str, Any]]:
        draw = Draw(float(params.get("temperature", 1.0)), int(params.get("top_k", 0)), float(params.get("top_p", 1.0)))
        past = _array(row["past"], "past") if "past" in row else None
        found = self.served.sample(
            int(row.get("n", 1)),
            label=int(params.get("label", -1)),
            prompt=str(row.get("prompt", "")),
            past=past,
            length=int(params.get("length", 0)),
            draw=draw,
            seed=int(params.get("seed", 0)) + index,
        )
        return [{"row": index, "sample": one if isinstance(one, str) else one.tolist()} for one in found]

    def _score(self, index: int, row: dict[str, Any], params: dict[str, Any]) -> list[dict[str, Any]]:
        seed = int(params.get("seed", 0)) + index
        if self.served.alphabet:
            text = str(row["text"])
            nats, values = float(self.served.score_text(text, seed).sum()), self.served.characters(text)
        else:
            past = _array(row["past"], "past")[None] if "past" in row else None
            nats, values = float(self.served.score(_array(row["x"], "x")[None], past, seed)[0]), 0
        return [{"row": index, "nll": nats, self.served.unit: self.served.per_value(nats, values)}]


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _array(value: Any, name: str) -> Any:
    """A nested list, or the array of arrays that MLflow makes of one, as one array."""
    try:
        return np.array(_plain(value))
    except ValueError:
        raise UserError(f"{name}: rows of unequal length; a nested list of numbers is wanted") from None


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list | tuple | np.ndarray) else value


mlflow.models.set_model(Pyfunc())
