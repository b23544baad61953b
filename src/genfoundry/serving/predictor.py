"""Predictor: a trained model that draws samples and scores, in values that people use: images, text, numbers."""

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
UNITS = dict.fromkeys(("images", "video"), "bits_per_dim")
UNITS |= dict.fromkeys(("text", "lines", "pairs"), "nats_per_char")


class NotGenerative(UserError):
    """A model that neither samples nor scores."""


class Predictor:
    """The model in a folder, on the CPU.

    Args:
        folder: a model that `checkpoint.save` wrote.

    Raises:
        NotGenerative: it is no generative model.
        UserError: the folder holds no model, or one that this code cannot load.
    """

    def __init__(self, folder: Path | str) -> None:
        model = checkpoint.load(folder)
        if not isinstance(model, GenerativeModel):
            kind = type(model).__name__
            raise NotGenerative(f"{folder}: a {kind} neither samples nor scores; ask for a generative model")
        self.model, self.spec = model, model.spec
        meta: dict[str, Any] = model.card["meta"]
        self.modality: str = meta["modality"]
        self.alphabet: str = meta.get("alphabet") or ""
        self.declared: dict[str, Any] = meta.get("declared") or {}  # how its data set reads files
        self.names: list[str] = [str(name) for name in meta.get("names") or []]
        self.past_steps = self.spec.cond_shape[0] if self.spec.cond_shape else 0  # that a sample goes on from
        unit = UNITS.get(self.modality, "nats")
        self.unit = "nats" if unit == "bits_per_dim" and self.spec.levels is None else unit  # of scores, besides nats

    def per_value(self, nats: float, values: int | None = None) -> float:
        """Convert the nats of `values` values (default: of a sample) to `unit`."""
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
        """Draw n samples: strings (prompt included) or arrays of the spec's shape.

        Args:
            n: number of samples.
            label: class to draw from; -1 draws classes as often as they were in training.
            prompt: text that samples go on from; of pairs, the source.
            past: (P, D) or frames (P, C, H, W) that samples go on from, at least as many as the model looks back on.
            length: characters to draw after the prompt; 0 for the length that the model was trained on.
            draw: temperature and truncation of categorical outputs.
            seed: equal requests with equal seeds give equal samples.

        Raises:
            UserError: a value is out of its range, or not one that this model takes.
        """
        self.check_size(n, length)
        spec, source, shown = self.spec, self.modality == "pairs", value_checks.shorten(prompt)
        if not -1 <= label < max(spec.classes, 0):
            classes = f"0 to {spec.classes - 1}, or " if spec.classes else ""
            raise UserError(f"label: {label}: expected {classes}-1 for any class")
        if prompt and not self.alphabet:
            raise UserError(f"prompt: {shown}: expected none for {self.modality}")
        if self.modality == "lines" and ("\n" in prompt or len(prompt) >= spec.shape[0]):
            raise UserError(f"prompt: {shown}: expected the start of a line, of up to {spec.shape[0] - 1} characters")
        if source and not 0 < len(prompt) <= self.past_steps:
            raise UserError(f"prompt: {len(prompt)} characters: expected a source of 1 to {self.past_steps}")
        if length < 0 or (length and self.modality != "text"):
            raise UserError(f"length: {length}: expected a number of characters for text, 0 for {self.modality}")
        value_checks.check_draw(draw)
        cond = self._encode_past(past) if past is not None or not self.alphabet else None
        if prompt:
            cond = torch.as_tensor(self.encode(prompt, "prompt"))  # (L,)
            if source:  # padded with the code that no character has
                cond = torch.cat([cond, cond.new_full((self.past_steps - len(cond),), len(self.alphabet))])  # (S,)
        samples: list[Any] = []
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(derive_seed("served", seed))
            while len(samples) < n:
                size = min(SIZE, n - len(samples))
                labels = torch.full((size,), label) if label >= 0 else None
                conds = cond.expand(size, *cond.shape) if cond is not None else None
                if self.alphabet:
                    texts = self._draw_texts(size, conds, labels, length, draw)
                    samples += texts if source else [prompt + text for text in texts]
                else:
                    samples += list(self.model.sample(size, conds, labels, draw).numpy())
        return samples

    def _draw_texts(self, n: int, cond: Tensor | None, label: Tensor | None, length: int, draw: Draw) -> list[str]:
        """Windows of the model's length, each going on from the one before, as strings."""
        windows: list[Tensor] = []  # (n, T) each
        while sum(window.shape[1] for window in windows) < (length or 1):
            windows.append(self.model.sample(n, cond=windows[-1] if windows else cond, label=label, draw=draw))
        rows = torch.cat(windows, 1)[:, : length or None].tolist()  # (n, length)
        texts = ["".join(self.alphabet[code] for code in row if code < len(self.alphabet)) for row in rows]
        return [text.partition("\n")[0] for text in texts] if self.modality == "lines" else texts

    def check_size(self, n: Any, length: int = 0) -> int:
        """The number of samples, if so many, of so many characters, can be drawn; else raise UserError."""
        return value_checks.check_size(n, max(length, self.spec.dims))

    def _encode_past(self, past: NDArray[Any] | None, *items: int) -> Tensor | None:
        """The last steps of a past (*items, P, ...), as many as the model looks back on."""
        if self.spec.cond_shape is None:
            if past is not None:
                raise UserError(f"past: shape {past.shape}: expected none, as this model of {self.modality} takes none")
            return None
        steps, *rest = self.spec.cond_shape
        at = len(items)
        if past is None or (*past.shape[:at], *past.shape[at + 1 :]) != (*items, *rest) or past.shape[at] < steps:
            got = "none" if past is None else f"shape {past.shape[at:]}"
            expected = ", ".join(["P", *map(str, rest)])
            raise UserError(f"past: {got}: expected shape ({expected}), P at least {steps}")
        past = past[(slice(None),) * at + (slice(past.shape[at] - steps, None),)]
        return torch.as_tensor(value_checks.check_numbers(past, "past", self.spec.cond_levels, self.allows_missing))

    @property
    def allows_missing(self) -> bool:
        """Whether values may be missing (NaN)."""
        return self.declared.get("missing") == "keep"

    def encode(self, text: str, name: str = "text") -> NDArray[np.int64]:
        """Encode a text as (L,) indices into the model's alphabet; errors call the text `name`.

        Raises:
            UserError: a character is not in it.
        """
        codes = {character: code for code, character in enumerate(self.alphabet)}
        for number, c in enumerate(text, start=1):
            if c not in codes:
                raise UserError(f"{name}: character {number}, {c!r}, is not in the model's alphabet {self.alphabet!r}")
        return np.array([codes[character] for character in text], np.int64)

    def score(self, x: NDArray[Any], past: NDArray[Any] | None = None, seed: int = 0) -> NDArray[np.float64]:
        """(N,) nats, -log p(x) or its bound, of x (N, *shape), after past (N, P, D) where the model has one.

        Raises:
            UserError: the model has no likelihood, or x is not of its shape and range.
        """
        if self.model.likelihood == "none":
            raise UserError(f"a {type(self.model).__name__} has no likelihood and cannot score; it samples only")
        shape, spec = x.shape[1:], self.spec
        shorter = self.modality == "text" and len(shape) == 1 and 0 < shape[0] <= spec.shape[0]
        if not len(x) or (shape != spec.shape and not shorter):
            raise UserError(f"x: {len(x)} items of shape {shape}: expected items of shape {spec.shape}")
        values = torch.as_tensor(value_checks.check_numbers(x, "x", spec.levels, self.allows_missing))
        cond = self._encode_past(past, len(values))
        nats = []
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            torch.manual_seed(derive_seed("served", seed))
            for start in range(0, len(values), SIZE):
                rows = slice(start, start + SIZE)
                label = torch.full((len(values[rows]),), -1)
                batch = Batch(values[rows], None if cond is None else cond[rows], label=label)
                nats.append(self.model.measure(batch)["nll"].double())  # (B,)
        return np.asarray(torch.cat(nats).numpy(), np.float64)

    def score_text(self, text: str, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Nats (N,) and characters (N,) of each line of a text, its end included, or of windows of the model's length.

        Windows are scored afresh, each.

        Raises:
            UserError: the text is empty, a line too long, or a character not in the alphabet.
        """
        width = self.spec.shape[0]
        if self.modality == "lines":
            stripped = list(lines.strip_lines(text))
            if long := next((line for line in stripped if len(line) >= width), ""):
                raise UserError(f"text: {long!r}: expected lines of up to {width - 1} characters, got {len(long)}")
            codes = self.encode("".join(f"{line:\n<{width}}" for line in stripped))
            counts = [len(line) + 1 for line in stripped]
        else:
            codes = self.encode(text)
            counts = [min(width, len(codes) - start) for start in range(0, len(codes), width)]
        if not len(codes):
            raise UserError("text: '': expected one character at least")
        full = len(codes) // width * width
        windows = [codes[:full].reshape(-1, width), codes[None, full:]]  # (K, T), (1, rest)
        nats = [self.score(window, seed=seed) for window in windows if window.size]
        return np.concatenate(nats), np.array(counts)
