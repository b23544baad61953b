"""AdamW is torch's, bit for bit, without torch's compiler."""

from __future__ import annotations

import subprocess
import sys

import torch

from genfoundry.training.optimizer import AdamW

FIT = """
import sys, torch
from genfoundry.training import device
from pipeline.orchestration import resolve
from genfoundry.config import Train
from genfoundry.models.vae import Vae
from genfoundry.data.loaders import Loader
from genfoundry.data.splits.images import ImageSplit
from genfoundry.training.loop import fit
from genfoundry.types import Spec
device.configure_torch(resolve.load_params())
spec = Spec((1, 4, 4), 2)
split = ImageSplit("train", {"x": torch.zeros(8, 1, 4, 4, dtype=torch.uint8), "label": torch.zeros(8)}, spec)
train = Train(batch=4, steps={"fit": 2}, lr={"model": 0.1}, ema=0.9)
events = list(fit(Vae(spec, Vae.Config()), Loader(split, 4, ("a",)), train, key=("a",)))
assert events[-1].clock.step == 2
print(sorted({name.partition(".")[2].partition(".")[0] for name in sys.modules} & {"_dynamo", "_inductor"}))
"""


def test_every_step_is_torchs() -> None:
    """With decay, a rate and a scale that change, a parameter that comes later, and steps that are not finite."""
    torch.manual_seed(0)
    start = [torch.randn(3, 5), torch.randn(5), torch.randn(2, 3, 4)]
    ours, theirs = ([torch.nn.Parameter(p.clone()) for p in start] for _ in range(2))
    one = AdamW(ours, 0.1, (0.8, 0.95))
    groups = [{"params": [theirs[0], theirs[2]], "weight_decay": 0.1}, {"params": [theirs[1]], "weight_decay": 0.0}]
    other = torch.optim.AdamW(groups, lr=0.0, betas=(0.8, 0.95), fused=True)
    for step in range(8):
        one.zero_grad()
        for p, q in zip(ours, theirs, strict=True):
            gradient = torch.randn_like(p)
            p.grad, q.grad = gradient.clone(), gradient.clone()
        if step < 3:
            ours[2].grad = theirs[2].grad = None
        scale, bad = torch.tensor(1.0 + step), torch.tensor(float(step in (1, 5)))
        other.grad_scale, other.found_inf = scale, bad  # type: ignore[attr-defined]
        for group in other.param_groups:
            group["lr"] = 0.01 * (step + 1)
        one.step(0.01 * (step + 1), scale, bad)
        other.step()
        for p, q in zip(ours, theirs, strict=True):
            assert torch.equal(p, q)
            assert {k: v.tolist() for k, v in one.state.get(p, {}).items()} == {
                k: v.tolist() for k, v in other.state[q].items()
            }


def test_training_does_not_import_torchs_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", FIT], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stdout + done.stderr
