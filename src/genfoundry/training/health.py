"""Health of adversarial training: when a generator counts as collapsed, by what its events measure.

A collapsed generator makes one item, or few, whatever its noise is (Goodfellow 2016, arXiv:1701.00160, section 5.1.1).
Two measures tell it, each over several events in a row, since both fluctuate:

- `diversity`, which models write into `diagnostics`: the spread of generated values over a batch divided by that of
  real ones. It is 0 where all samples are alike, and about 1 where they differ as real items do.
- `class_share`, of `evaluation.class_share`: classes that samples reach, divided by those that real items would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genfoundry.models.base import Learner
    from genfoundry.types import Event

# The share of a phase whose events do not count, and the steps before which there is no verdict: a generator that has
# learnt little draws grey items, which a judge takes for one class.
WARMUP, EARLIEST = 0.3, 100


@dataclass(frozen=True)
class Rule:
    """A measure that stays below `least` for `patience` events in a row is a collapse."""

    measure: str
    least: float
    patience: int
    words: str


RULES = (
    # Blurred but distinct samples keep half the spread and more; a tenth is the noise around a single item
    Rule("diversity", 0.1, 5, "samples vary {value:.2g} times as much as real items"),
    # Of ten classes two or fewer; measured at a tenth as many events, hence the shorter patience
    Rule("class_share", 0.25, 3, "samples reach {value:.2g} of the classes that real items do"),
)


def is_adversarial(kind: type[Learner]) -> bool:
    """Return whether a model trains against a critic: its player of that name."""
    return "critic" in kind.defaults.get("lr", {})


def find_collapse(events: Sequence[Event]) -> str:
    """Describe the collapse that the latest events of a training show; "" if they show none."""
    if not events:
        return ""
    clock = events[-1].clock
    if clock.step < EARLIEST:
        return ""
    late = [e for e in events if e.clock.phase == clock.phase and e.clock.share >= WARMUP]
    for rule in RULES:
        values = [event.health[rule.measure] for event in late if rule.measure in event.health][-rule.patience :]
        if len(values) == rule.patience and max(values) < rule.least:
            words = rule.words.format(value=sum(values) / len(values))
            return f"collapsed: {words} (below {rule.least:g} at {rule.patience} events in a row)"
    return ""
