"""An ensemble over hints and steps that needs no constant: the learner to try first.

Base learners are optimistic gradient descents, one for each pair of a step and a hint (none, the
last gradient, the mean of all), and optimistic Hedge plays their weighted mean; see `TwoLayers`.
The steps are D / (2^k G_t), k = 1..10, with G_t the largest root mean square that the gradients
had up to some round: a scale that neither a single large gradient nor a small first one spoils.
The ten steps reach from a quarter of the set in one round down to the D / (G sqrt T) of a
million rounds. The weights' rate is

    eps_t^2 = ln N / ((D G_t)^2 + sum_{s<t} max_i (c_{s,i} - mean_j c_{s,j})^2),    c = l - m.

Multiplying the losses, or the set, by a number changes nothing: x scales along.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from rlopt.agents.online.base import Answer
from rlopt.agents.online.dynamic import TwoLayers
from rlopt.agents.online.hints import HINTS
from rlopt.spaces import ConvexSet

STEPS = 0.5 ** np.arange(1, 11)  # in units of D / G_t


class Ensemble(TwoLayers):
    """Near the best constant step and hint in hindsight, for fixed and for drifting optima.

    Args:
        space: the convex action set; D is its diameter.
        runs: see `online.make`.

    Attributes:
        total: sum of the gradients so far, (*batch, d).
        squares: sum of their squared norms, (*batch,).
        G: G_t above, (*batch,).
    """

    name: ClassVar[str] = "ensemble"
    memory: ClassVar[tuple[str, ...]] = (*TwoLayers.memory, "total", "squares", "G")

    def __init__(self, space: ConvexSet, *, runs: int | None = None) -> None:
        super().__init__(space, runs, len(STEPS), len(HINTS), 0.0)
        self.total, self.squares = np.zeros_like(self.x), np.zeros(self.batch)
        self.G = np.zeros(self.batch)

    def _pool(self, answer: Answer) -> Any:
        g = answer.gradient
        self.total, self.squares = self.total + g, self.squares + (g * g).sum(axis=-1)
        self.G = np.maximum(self.G, np.sqrt(self.squares / (self.t + 1)))
        return STEPS * _over(self.space.diameter, self.G)[..., None]

    def _hints(self, answer: Answer) -> np.ndarray:
        last = answer.gradient if answer.hint is None else answer.hint
        return np.stack(
            [hint(last, self.total, self.t + 1) for hint in HINTS.values()],
            axis=-2,
        )

    def _rate(self, surprise: np.ndarray) -> Any:
        apart = surprise - surprise.mean(axis=-1, keepdims=True)
        self.errors = self.errors + (apart * apart).max(axis=-1)
        scale = np.sqrt((self.space.diameter * self.G) ** 2 + self.errors)
        return _over(np.sqrt(np.log(surprise.shape[-1])), scale)


def _over(a: float, b: np.ndarray) -> np.ndarray:
    """a / b, and 0 where b is 0: nobody moves before the first gradient."""
    return np.asarray(np.divide(a, b, out=np.zeros_like(b), where=b > 0.0))
