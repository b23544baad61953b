"""Models and in-flight state on disk: safetensors + JSON, atomically written; no code runs on load."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from genfoundry import config, models
from genfoundry.types import Spec, UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from genfoundry.models.base import Learner


def canonical(value: object) -> str:
    """JSON with one spelling for one value; NaN and infinity are errors."""
    return json.dumps(value, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write canonical JSON atomically."""
    write_bytes(path, canonical(value).encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write beside, then rename: a reader sees the old bytes or the new ones, never half.

    Raises:
        UserError: no space left, or the folder cannot be written to; the old file stays.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(content)
        beside.replace(path)
    except OSError as error:
        raise UserError(_unwritten(path, error)) from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """The only one of this machine's processes to change `path` while the block runs; the others wait."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unwritten(path: Path, error: Exception) -> str:
    return f"{path}: {getattr(error, 'strerror', None) or error}; free space or make the folder writable"


def read_json(path: Path) -> Any:
    """The value of a JSON file.

    Raises:
        UserError: not there, or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from None


@contextmanager
def fresh(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which replaces `folder` only when all went well.

    Raises:
        UserError: no space left, or the folder cannot be written to; the old folder stays.
    """
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        yield beside
        remove_tree(folder)
        beside.replace(folder)
    except UserError as error:  # a user knows the folder, not what stands beside it meanwhile
        raise UserError(str(error).replace(str(beside), str(folder))) from None
    except (OSError, SafetensorError) as error:
        raise UserError(_unwritten(folder, error)) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def remove_tree(folder: Path) -> None:
    """Remove a folder if there is one, also where folders in it are read-only, as copies of others may be.

    Raises:
        OSError: it cannot be removed.
    """
    if not folder.is_dir() or folder.is_symlink():
        folder.unlink(missing_ok=True)
        return
    for parent, _, _ in os.walk(folder):
        if not os.access(parent, os.W_OK | os.X_OK):
            os.chmod(parent, stat.S_IRWXU)
    shutil.rmtree(folder)


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save(folder: Path, model: Learner, card: Mapping[str, Any]) -> str:
    """Write `weights.safetensors` and `model.json`; returns the digest of weights, class, configuration, spec."""
    from safetensors.torch import save as packed

    with fresh(folder) as new:
        write_bytes(new / "weights.safetensors", packed(_state(model)))
        weights = sha256(new / "weights.safetensors")
        identity = {
            "model": type(model).__module__.rsplit(".", 1)[-1],
            "config": model.config.model_dump(mode="json"),
            "spec": model.spec.to_json(),
        }
        digest = hashlib.sha256((canonical(identity) + weights).encode()).hexdigest()
        digests = {**card.get("digests", {}), "weights": weights}
        write_json(new / "model.json", {**card, **identity, "digests": digests, "digest": digest})
    return digest


def _state(model: Learner) -> dict[str, Tensor]:
    # Copies: safetensors refuses tensors that share memory, as tied weights do.
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}


def load(folder: Path | str, device: torch.device | str = "cpu") -> Learner:
    """The model in `folder`, in evaluation mode; `model.card` is model.json's content.

    Raises:
        UserError: a file is missing or damaged, or the tensors do not fit model.json.
    """
    folder = Path(folder)
    card = read_json(folder / "model.json")
    model = _described(card, folder / "model.json")
    fill(model, read_tensors(folder / "weights.safetensors"), folder / "weights.safetensors")
    model.card = card
    return model.to(device).eval()


def _described(card: Any, path: Path) -> Learner:
    """The model that model.json describes, its weights still to be filled in."""
    missing = [key for key in ("model", "config", "spec") if not isinstance(card, dict) or card.get(key) is None]
    if missing:
        raise UserError(f"{path}: not a model's description: {', '.join(missing)} missing")
    try:
        kind = models.find(card["model"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    checked = config.check(kind.Config, card["config"], "config", str(path))
    try:
        return kind(Spec.from_json(card["spec"]), checked)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: spec does not suit model {card['model']!r}: {reason}") from None


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        UserError: not there, truncated, or something else.
    """
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable as safetensors: {error}") from None


def fill(model: Learner, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Copy `tensors` into the model; every name, shape and type must fit.

    Raises:
        UserError: says which tensor is missing, unknown or of another shape.
    """
    own = model.state_dict()
    faults = [f"{n} is missing" for n in own.keys() - tensors.keys()]
    faults += [f"{n} is not of this model" for n in tensors.keys() - own.keys()]
    faults += [
        f"{n} is {tuple(tensors[n].shape)} {tensors[n].dtype}, model.json wants {tuple(own[n].shape)} {own[n].dtype}"
        for n in own.keys() & tensors.keys()
        if own[n].shape != tensors[n].shape or own[n].dtype != tensors[n].dtype
    ]
    if faults:
        raise UserError(f"{path}: does not fit model.json: {'; '.join(sorted(faults)[:3])} ({len(faults)} in all)")
    model.load_state_dict(dict(tensors))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], note: object) -> None:
    """Tensors and one JSON note in one file, atomically: weights and counters cannot come apart."""
    from safetensors.torch import save

    # One metadata key only: with two, safetensors writes them in another order every process.
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    write_bytes(path, save(plain, metadata={"note": json.dumps(note, sort_keys=True)}))


def read_note(path: Path) -> Any:
    """The JSON note of a file that `write_tensors` wrote."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {})["note"])
