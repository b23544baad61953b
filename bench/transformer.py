"""The transformer beside the character RNN: nats/char after as many seconds of training on the text of bench/chars.py.

    PYTHONPATH=src python bench/transformer.py [SECONDS ...]

Seconds (15 and 140) are CPU seconds of one thread. It learns windows of 128 and is measured on windows of 128 and 64,
each from nothing; `python bench/chars.py learn` prints the RNN's. Settings are those of `transformer-shakespeare`.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import torch
from chars import splits

from genfoundry import config
from genfoundry.data.loaders import Loader
from genfoundry.data.splits import text
from genfoundry.models.base import Hyper
from genfoundry.models.transformer import Transformer
from genfoundry.seeding import derive_seed
from genfoundry.training.loop import fit
from pipeline.orchestration import resolve

LENGTH = 128
NAME = "transformer-shakespeare"


def cut(split: text.TextSplit, length: int) -> text.TextSplit:
    """The same text in windows of another length."""
    spec = replace(split.spec, shape=(length,))
    return text.TextSplit(split.name, {"x": split.tensor, "start": split.start}, spec)


def time_fit(net: Transformer, split: text.TextSplit, train: config.Train, steps: int) -> float:
    """CPU seconds of so many steps."""
    train = train.model_copy(update={"steps": {"fit": steps}})
    began = time.process_time()
    for _ in fit(net, Loader(split, train.batch, ("bench",)), train, key=("bench",)):
        pass
    return time.process_time() - began


@torch.inference_mode()
def measure(net: Transformer, holdout: text.TextSplit, length: int) -> float:
    """Nats/char on windows side by side."""
    part = cut(holdout, length)
    nll = [net.measure(part.eval_batch(index))["nll"] for index in torch.arange(len(part)).split(200)]
    return torch.cat(nll).double().mean().item() / length


def main() -> None:
    torch.set_num_threads(1)
    experiment = resolve.load_experiment(NAME)
    split, holdout = (cut(part, LENGTH) for part in splits())

    def build(hyper: Hyper) -> Transformer:
        torch.manual_seed(derive_seed("learn"))
        net = experiment.kind(split.spec, hyper)
        assert isinstance(net, Transformer)
        return net

    pace = min(time_fit(build(experiment.hyper), split, experiment.train, 30) for _ in range(3)) / 30
    for seconds in [float(word) for word in sys.argv[1:]] or [15.0, 140.0]:
        net = build(experiment.hyper)
        steps = max(1, int(seconds / pace))
        duration = time_fit(net, split, experiment.train, steps)
        net.eval()
        scores = ", ".join(f"{measure(net, holdout, n):.4f} nats/char on windows of {n}" for n in (LENGTH, 64))
        speed = steps * experiment.train.batch * LENGTH / duration
        print(f"learning: {duration:.0f} CPU s, {steps} steps, {speed:.0f} characters/s: {scores}", flush=True)


if __name__ == "__main__":
    main()
