"""What needs a CUDA device: the same seed gives the same bits, a saved state goes on to them, and answers agree."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent / "models"))

from tiny import Loader, build, settings, specs

from genfoundry import models
from genfoundry.training import device
from genfoundry.training.loop import State, fit

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]
CASES = [(name, spec) for name in models.names() for spec in specs(models.find(name)).values()]


@pytest.fixture(autouse=True)
def _armed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)


class OnDevice(Loader):
    """The contract suite's loader, its data and batches on the GPU."""

    def __init__(self, spec):  # type: ignore[no-untyped-def]
        super().__init__(spec)
        self.split.tensor = self.split.tensor.to("cuda")

    def batch(self, phase, step):  # type: ignore[no-untyped-def]
        return super().batch(phase, step).to("cuda")


@pytest.mark.parametrize(("name", "spec"), CASES)
def test_the_same_seed_gives_the_same_bits_and_so_does_a_saved_state(name, spec, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    def run(stop: int | None = None) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model, state = build(name, spec).to("cuda"), State()
        train = settings(model, 20)
        for index, _ in enumerate(fit(model, OnDevice(spec), train, key=("gpu",), state=state)):
            if index == stop:
                state.save(tmp_path / "s.safetensors", model)
                model = build(name, spec).to("cuda")
                state = State.load(tmp_path / "s.safetensors", model)
                list(fit(model, OnDevice(spec), train, key=("gpu",), state=state))
                break
        return model.state_dict()

    first, second, resumed = run(), run(), run(3)
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
        assert torch.equal(value, resumed[key]), key


def test_auto_is_the_gpu() -> None:
    assert device.find_device("auto").type == "cuda"
