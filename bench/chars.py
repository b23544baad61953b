"""The character RNN's figures: sampling, training throughput, and nats/char against seconds of training.

    PYTHONPATH=src python bench/chars.py [sample] [train] [learn] [bf16] [SECONDS ...]

Without words: all three; SECONDS (15 and 140) are how long `learn` trains, in float32 or bf16; OMP_NUM_THREADS chooses
the threads. `learn` takes the first 1,115,394 characters (the size of tinyshakespeare) of the modern plays, the last
tenth held out, and measures it as one text with the state carried and on windows of 64 from a zero state. Raw data must
be there (`dvc repro fetch@shakespeare`).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from genfoundry import config, paths
from genfoundry.data import alphabet as data_alphabet
from genfoundry.data.loaders import StreamLoader
from genfoundry.data.readers import documents
from genfoundry.data.splits import text
from genfoundry.evaluation.metrics.likelihood import stream_nats
from genfoundry.models.char_rnn import CharRnn
from genfoundry.nn.heads.categorical_sampling import sample_categorical
from genfoundry.seeding import derive_seed
from genfoundry.training.loop import fit
from genfoundry.types import Spec

WIDTH, EMBEDDING, STREAMS, LENGTH, SIZE = 256, 64, 32, 64, 1_115_394
LEVELS = 84
RATE, DECAY, RESETS = 1.6e-2, 0.15, 0.25  # 140 s are 13 passes over the text: without decay it is learnt by heart
ROUNDS = 5


def model(levels: int, length: int) -> CharRnn:
    torch.manual_seed(0)
    return CharRnn(Spec((length,), levels), CharRnn.Config(cell="lstm", width=WIDTH, embedding=EMBEDDING))


def middle(runs: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Medians of interleaved rounds: machines are noisy."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            seconds[name].append(run())
    return {name: statistics.median(values) for name, values in seconds.items()}


@torch.no_grad()
def naive(net: CharRnn, n: int) -> Tensor:
    """One call of the layer a character."""
    unread, state = net.initial_state(n)
    drawn = []
    for _ in range(net.spec.dims):
        states, state = net.cell(unread[:, None], state)
        unread = sample_categorical(net.w_hy(states[:, -1]))
        drawn.append(unread)
    return torch.stack(drawn, 1)


def time_sampling(n: int, length: int) -> str:
    net = model(LEVELS, length).eval()
    drawn: dict[str, Tensor] = {}

    def paced(name: str, draw: Callable[[int], Tensor]) -> float:
        torch.manual_seed(1)
        began = time.perf_counter()
        drawn[name] = draw(n)
        return n * length / (time.perf_counter() - began)

    pace = middle({"naive": lambda: paced("naive", partial(naive, net)), "ours": lambda: paced("ours", net.sample)})
    same = f"{(drawn['naive'] == drawn['ours']).double().mean():.1%} of the characters are equal"
    return f"a layer's call a character {pace['naive']:8.0f} /s, `sample` {pace['ours']:8.0f} /s; {same}"


def sample() -> None:
    for n, length in ((64, 256), (1, 2000)):
        print(f"{n:2} streams: {time_sampling(n, length)}", flush=True)


def time_plain_loop(split: text.TextSplit, steps: int) -> float:
    """Characters a second of the usual loop: nn.LSTM, embedding, Adam, `.item()`; random windows."""
    torch.manual_seed(0)
    levels = split.spec.levels or 0
    embedding, core = torch.nn.Embedding(levels, EMBEDDING), torch.nn.LSTM(EMBEDDING, WIDTH, batch_first=True)
    out = torch.nn.Linear(WIDTH, levels)
    adam = torch.optim.Adam([*embedding.parameters(), *core.parameters(), *out.parameters()], RATE)
    began = time.perf_counter()
    for _ in range(steps):
        x = split.train_batch(torch.randint(split.positions, (STREAMS,))).x
        logits = out(core(embedding(x[:, :-1]))[0])
        loss = F.cross_entropy(logits.flatten(0, 1), x[:, 1:].flatten())
        adam.zero_grad()
        loss.backward()
        loss.item()
        adam.step()
    return STREAMS * LENGTH * steps / (time.perf_counter() - began)


def time_fit(net: CharRnn, split: text.TextSplit, steps: int, precision: str = "float32") -> float:
    """Characters a second of `fit` on streams."""
    settings = {"batch": STREAMS, "lr": {"model": RATE}, "betas": [0.9, 0.99], "steps": {"fit": steps}}
    train = config.check(config.Train, settings | {"precision": precision, "weight_decay": DECAY}, "bench")
    loader = StreamLoader(split, STREAMS, ("bench",), LENGTH, RESETS)
    began = time.perf_counter()
    for _ in fit(net, loader, train, key=("bench",)):
        pass
    return STREAMS * LENGTH * steps / (time.perf_counter() - began)


def splits() -> Iterator[text.TextSplit]:
    """Nine tenths, and the last."""
    corpus = "".join(carried for _, carried in documents.read_documents(paths.raw("shakespeare")))[:SIZE]
    alphabet = "".join(sorted(set(corpus)))
    codes = torch.from_numpy(data_alphabet.encode(corpus, alphabet))
    for name, part in (("train", codes[: SIZE * 9 // 10]), ("held", codes[SIZE * 9 // 10 :])):
        spec = Spec((LENGTH,), len(alphabet))
        yield text.TextSplit(name, {"x": part, "start": torch.zeros(1, dtype=torch.int64)}, spec)


def train() -> None:
    split, _ = splits()
    arms = {"plain": lambda: time_plain_loop(split, 40)}
    for kind in ("float32", "bf16"):
        arms[kind] = lambda kind=kind: time_fit(model(split.spec.levels or 0, LENGTH), split, 40, kind)
    pace = middle(arms)
    print(f"training: plain loop {pace['plain']:.0f} characters/s, fit {pace['float32']:.0f}, bf16 {pace['bf16']:.0f}")


@torch.inference_mode()
def measure(net: CharRnn, holdout: text.TextSplit) -> str:
    net.eval()
    windows = torch.cat(
        [net.measure(holdout.eval_batch(part))["nll"] for part in torch.arange(len(holdout)).split(500)]
    )
    carried = stream_nats(net, holdout, lanes=1)
    assert carried is not None
    on_windows = windows.double().mean() / LENGTH
    return f"{carried.mean() / LENGTH:.4f} nats/char carried, {on_windows:.4f} on windows of {LENGTH}"


def learn(seconds: float, precision: str) -> None:
    """Steps are chosen by the pace of a few, since a schedule ends with its last step."""
    split, holdout = splits()
    levels = split.spec.levels or 0
    time_fit(model(levels, LENGTH), split, 20, precision)  # the first steps are slow
    pace = time_fit(model(levels, LENGTH), split, 200, precision)
    torch.manual_seed(derive_seed("learn"))
    net, steps = model(levels, LENGTH), int(seconds * pace / (STREAMS * LENGTH))
    pace = time_fit(net, split, steps, precision)
    duration = steps * STREAMS * LENGTH / pace
    print(
        f"learning in {precision}: {duration:.0f} s, {steps} steps, {pace:.0f} characters/s: {measure(net, holdout)}",
        flush=True,
    )


def main() -> None:
    numbers = [float(w) for w in sys.argv[1:] if w.isdigit()] or [15.0, 140.0]
    precision = "bf16" if "bf16" in sys.argv else "float32"
    words = {"sample", "train", "learn"} & set(sys.argv) or {"sample", "train", "learn"}
    print(f"{torch.get_num_threads()} threads")
    if "sample" in words:
        sample()
    if "train" in words:
        train()
    for seconds in numbers if "learn" in words else []:
        learn(seconds, precision)


if __name__ == "__main__":
    main()
