"""A trained model that answers requests in values that people use: images, text, numbers. No MLflow here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genfoundry.data.modalities import lines
from genfoundry.errors import UserError
from genfoundry.models import checkpoint
from genfoundry.models.base import GenerativeModel
from genfoundry.seeding import derive_seed
from genfoundry.serving import value_checks
from genfoundry.types import Batch, Draw

SIZE = 100  # items in a batch
UNITS = {
    "images": "bits_per_dim",
    "video": "bits_per_dim",
    **dict.fromkeys(("text", "lines", "pairs"), "nats_per_char"),
}


class NotGenerative(UserError):
    """A model that answers no request."""


class Predictor:
    """The model in a folder, on the CPU."""

    def __init__(self, folder: Path | str) -> None:
        model = checkpoint.load(folder)
        if not isinstance(model, GenerativeModel):
            raise NotGenerative(
                f"{folder}: a {type(model).__name__} neither samples nor scores; ask for a generative model"
            )
        self.model, self.spec = model, model.spec
        meta: dict[str, Any] = model.card["meta"]
        self.modality: str = meta["modality"]
        self.alphabet: str = meta.get("alphabet") or ""
        self.declared: dict[str, Any] = meta.get("declared") or {}  # how its data set reads files
        self.names: list[str] = [str(name) for name in meta.get("names") or []]

    @property
    def unit(self) -> str:
        """What a score is reported in, besides nats a sample."""
        unit = UNITS.get(self.modality, "nats")
        return "nats" if unit == "bits_per_dim" and self.spec.levels is None else unit

    def per_value(self, nats: float, values: int | None = None) -> float:
        """Nats of `values` values (default: of a sample) in `unit`."""
        return nats / (values or self.spec.dims) / (math.log(2) if self.unit == "bits_per_dim" else 1)

    def sample(
        self,
        n: int,
        *,
        label: int = -1,
        prompt: str = "",
        past: NDArray[Any] | None = None,
        length: int = 0,
        draw: Draw = Draw(),
        seed: int = 0,
    ) -> list[Any]:
        """n samples: strings (prompt included) or arrays of the spec's shape.

        Args:
            n: how many.
            label: class to draw from; -1 draws classes as often as they were in training.
            prompt: what text goes on from; of pairs, the source.
            past: (P, D) or frames (P, C, H, W), at least as many as the model looks back on: what samples go on from.
            length: characters to draw after the prompt; 0 for the length that the model was trained on.
            draw: temperature and truncation of categorical outputs.
            seed: equal requests with equal seeds give equal samples.

        Raises:
            UserError: a value is out of its range, or not one that this model takes.
        """
        self._check(n, label, prompt, past, length, draw)
        found: list[Any] = []
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(derive_seed("served", seed))
            while len(found) < n:
                count = min(SIZE, n - len(found))
                labels = torch.full((count,), label) if label >= 0 else None
                cond = self._cond(prompt, past)
                cond = cond.expand(count, *cond.shape) if cond is not None else None
                if self.modality == "pairs":
                    found += self._targets(count, torch.as_tensor(self.encode(prompt, "prompt")), draw)
                    continue
                if self.alphabet:
                    found += [prompt + text for text in self._texts(count, cond, labels, length, draw)]
                else:
                    found += list(self.model.sample(count, cond, labels, draw).numpy())
        return found

    def _texts(self, n: int, cond: Tensor | None, labels: Tensor | None, length: int, draw: Draw) -> list[str]:
        """Stretches of the model's length, each going on from the one before."""
        parts: list[Tensor] = []
        while sum(p.shape[1] for p in parts) < (length or 1):
            parts.append(self.model.sample(n, cond=parts[-1] if parts else cond, label=labels, draw=draw))
        rows = torch.cat(parts, 1)[:, : length or None].tolist()
        texts = ["".join(self.alphabet[i] for i in row) for row in rows]
        return [text.partition("\n")[0] for text in texts] if self.modality == "lines" else texts

    def _targets(self, n: int, source: Tensor, draw: Draw) -> list[str]:
        """n targets of a source (L,), each up to its end."""
        assert self.spec.cond_shape is not None
        cond = source.new_full((n, *self.spec.cond_shape), len(self.alphabet))
        cond[:, : len(source)] = source
        rows = self.model.sample(n, cond, draw=draw).tolist()
        return ["".join(self.alphabet[i] for i in row if i < len(self.alphabet)) for row in rows]

    def check_size(self, n: int, length: int = 0) -> None:
        """Raise UserError where so many samples, of so many characters, are none or too many for one request."""
        value_checks.check_size(n, max(length, self.spec.dims))

    def _check(self, n: int, label: int, prompt: str, past: NDArray[Any] | None, length: int, draw: Draw) -> None:
        self.check_size(n, length)
        if not -1 <= label < max(self.spec.classes, 0):
            known = f"0 to {self.spec.classes - 1}, or " if self.spec.classes else ""
            raise UserError(f"label: {label}: this model takes {known}-1 for any class")
        if prompt and not self.alphabet:
            raise UserError(f"prompt: this model makes {self.modality}, not text; leave the prompt out")
        if self.modality == "lines" and ("\n" in prompt or len(prompt) >= self.spec.shape[0]):
            raise UserError(f"prompt: the start of a line is wanted, of up to {self.spec.shape[0] - 1} characters")
        if self.modality == "pairs" and not 0 < len(prompt) <= (self.spec.cond_shape or (0,))[0]:
            most = (self.spec.cond_shape or (0,))[0]
            raise UserError(f"prompt: {len(prompt)} characters; a source of 1 to {most} is wanted")
        if past is not None and self.spec.cond_shape is None:
            self._steps(past, ())
        if length < 0 or (length and self.modality != "text"):
            raise UserError(f"length: {length}: a number of characters, for text only")
        value_checks.check_draw(draw)

    def _cond(self, prompt: str, past: NDArray[Any] | None) -> Tensor | None:
        if self.alphabet:
            return torch.as_tensor(self.encode(prompt, "prompt")) if prompt else None
        if self.spec.cond_shape is None:
            return None
        steps = self._steps(past, ())
        assert past is not None
        return self._past(past[len(past) - steps :])

    def _steps(self, past: NDArray[Any] | None, items: tuple[int, ...]) -> int:
        """How many steps of the past the model looks back on; a past (*items, P, ...) has as many, or more."""
        if past is not None and self.spec.cond_shape is None:
            raise UserError(f"past: this model makes {self.modality} and takes no past; leave it out")
        steps, *one = self.spec.cond_shape or (0,)
        at = len(items)
        if past is None or past.shape[at + 1 :] != tuple(one) or past.shape[:at] != items or past.shape[at] < steps:
            got = "none" if past is None else f"shape {past.shape[at:]}"
            right = f"{one[0]} columns" if len(one) == 1 else f"each {tuple(one)}"
            raise UserError(f"past: {got}: this model goes on from (at least {steps} steps, {right})")
        return steps

    def _past(self, past: NDArray[Any]) -> Tensor:
        """What samples go on from: whole numbers of so many levels, or real ones."""
        levels = self.spec.cond_levels
        if levels:
            return value_checks.check_integers(past, "past", levels)
        return value_checks.check_reals(past, "past", self.gappy)

    @property
    def gappy(self) -> bool:
        """Whether values may be missing (NaN)."""
        return self.declared.get("missing") == "keep"

    def encode(self, text: str, name: str = "text") -> NDArray[np.int64]:
        """(L,) positions in the model's alphabet; `name` is what an error calls the text.

        Raises:
            UserError: a character is not in it.
        """
        places = {character: i for i, character in enumerate(self.alphabet)}
        for at, character in enumerate(text):
            if character not in places:
                raise UserError(
                    f"{name}: character {at + 1}, {character!r}, is not in the model's alphabet {self.alphabet!r}"
                )
        return np.array([places[character] for character in text], np.int64)

    def score(self, x: NDArray[Any], past: NDArray[Any] | None = None, seed: int = 0) -> NDArray[np.float64]:
        """(N,) nats, -log p(x) or its bound, of x (N, *shape), after past (N, P, D) where the model has one.

        Raises:
            UserError: the model has no likelihood, or x is not of its shape and range.
        """
        if self.model.likelihood == "none":
            raise UserError(f"a {type(self.model).__name__} has no likelihood and cannot score; it samples only")
        values = self._values(x)
        cond = None
        if past is not None or self.spec.cond_shape is not None:
            steps = self._steps(past, (len(values),))
            assert past is not None
            cond = self._past(past[:, past.shape[1] - steps :])
        parts = []
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(derive_seed("served", seed))
            for start in range(0, len(values), SIZE):
                rows = slice(start, start + SIZE)
                label = torch.full((len(values[rows]),), -1)
                batch = Batch(values[rows], None if cond is None else cond[rows], label=label)
                parts.append(self.model.measure(batch)["nll"].double())
        return np.asarray(torch.cat(parts).numpy(), np.float64)

    def _values(self, x: NDArray[Any]) -> Tensor:
        shape = tuple(x.shape[1:])
        shorter = self.modality == "text" and len(shape) == 1 and 0 < shape[0] <= self.spec.shape[0]
        if not len(x) or (shape != self.spec.shape and not shorter):
            raise UserError(f"x: {len(x)} items of shape {shape}: expected items of shape {self.spec.shape}")
        if self.spec.levels is None:
            return value_checks.check_reals(x, "x", self.gappy)
        return value_checks.check_integers(x, "x", self.spec.levels)

    def score_text(self, text: str, seed: int = 0) -> NDArray[np.float64]:
        """(items,) nats of a text: of each of its lines, or of windows of the model's length, each scored afresh."""
        width = self.spec.shape[0]
        if self.modality == "lines":
            found = list(lines.strip_lines(text))
            if long := [line for line in found if len(line) >= width]:
                raise UserError(f"text: a line of {len(long[0])} characters; up to {width - 1} are scored: {long[0]!r}")
            ids = self.encode("".join(f"{line:\n<{width}}" for line in found))
        else:
            ids = self.encode(text)
        if not len(ids):
            raise UserError("text: '': expected one character at least")
        whole = len(ids) // width * width
        parts = [self.score(ids[:whole].reshape(-1, width), seed=seed)] if whole else []
        return np.concatenate([*parts, *([self.score(ids[None, whole:], seed=seed)] if whole < len(ids) else [])])

    def characters(self, text: str) -> int:
        """How many characters `score_text` scores: of lines, with the end of each."""
        return sum(len(line) + 1 for line in lines.strip_lines(text)) if self.modality == "lines" else len(text)
