"""Text from a Markov source, whose entropy rate is known exactly."""

from __future__ import annotations

import string
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch
from annotated_types import Ge, Le
from jaxtyping import Float, Int64
from torch import Tensor

import genloss
from genloss.errors import RequestError
from genloss_builtin.datasets._tokens import Length

Count = Annotated[int, Ge(2)]
Letters = Annotated[int, Ge(2), Le(26)]
Order = Annotated[int, Ge(1), Le(8)]
# A larger scale makes the chain nearly periodic or reducible, and the linear system ill-conditioned.
Scale = Annotated[float, Ge(0), Le(3)]

MOST_CONTEXTS = 4096
"""The stationary distribution is found by a direct solve, which takes about a second at this number."""


@dataclass(frozen=True)
class MarkovSource:
    """A stationary Markov source of order m over k tokens, with all transition probabilities positive.

    Attributes:
        transitions: `[kᵐ, k]` in float64, p(x_t | x_{t−m} … x_{t−1}); the tokens of a context are the digits
            of its row index in base k, the earliest first.
    """

    transitions: Float[Tensor, "contexts tokens"]

    @cached_property
    def order(self) -> int:
        """m."""
        contexts, tokens = self.transitions.shape
        return next(order for order in range(1, contexts + 1) if tokens**order == contexts)

    @cached_property
    def stationary(self) -> Float[Tensor, "contexts"]:
        """π, the stationary distribution of the contexts."""
        contexts, tokens = self.transitions.shape
        origin = torch.arange(contexts)[:, None]
        step = torch.zeros(contexts, contexts, dtype=torch.float64)
        # The next context drops the earliest token and appends the new one.
        step[origin, origin * tokens % contexts + torch.arange(tokens)] = self.transitions
        # π (step − 1) = 0, with the last, redundant equation replaced by Σ π = 1.
        equations = step.T - torch.eye(contexts, dtype=torch.float64)
        equations[-1] = 1
        right = torch.zeros(contexts, dtype=torch.float64)
        right[-1] = 1
        solution: Tensor = torch.linalg.solve(equations, right)
        return solution

    @cached_property
    def entropy_rate(self) -> float:
        """h = −Σ_c π(c) Σ_x p(x | c) log p(x | c), in nats per token."""
        return float(self.stationary @ torch.special.entr(self.transitions).sum(1))

    def entropy(self, length: int) -> float:
        """H(π) + (length − m) h: the expected −log p of a window of `length` ≥ m tokens, in nats."""
        return float(torch.special.entr(self.stationary).sum()) + (length - self.order) * self.entropy_rate

    def log_density(self, x: Int64[Tensor, "batch length"]) -> Float[Tensor, "batch"]:
        """Return the log-probability of windows of at least m tokens, in nats, on the device of `x`."""
        context = self._contexts(x)
        first = self.stationary.log().to(x.device, torch.float32)[context[:, 0]]
        later = self.transitions.log().to(x.device, torch.float32)[context[:, :-1], x[:, self.order :]]
        return first + later.sum(1)

    def draw(self, count: int, length: int, generator: torch.Generator) -> Int64[Tensor, "count length"]:
        """Draw independent windows of at least m tokens."""
        contexts, tokens = self.transitions.shape
        context = torch.multinomial(self.stationary, count, replacement=True, generator=generator)
        digits = tokens ** torch.arange(self.order - 1, -1, -1)
        drawn = [context[:, None] // digits % tokens]
        for _ in range(length - self.order):
            token = torch.multinomial(self.transitions[context], 1, generator=generator)
            context = context * tokens % contexts + token[:, 0]
            drawn.append(token)
        return torch.cat(drawn, 1)

    def _contexts(self, x: Tensor) -> Tensor:
        """Return the index of each context of m tokens in a window, `[batch, length − m + 1]`."""
        digits = self.transitions.shape[1] ** torch.arange(self.order - 1, -1, -1, device=x.device)
        return (x.unfold(1, self.order, 1) * digits).sum(2)


@genloss.dataset
def markov_text(
    *,
    letters: Letters = 8,
    order: Order = 2,
    scale: Scale = 1.5,
    length: Length = 64,
    size: Count = 10_000,
    held_out: Count = 2_500,
    seed: int = 0,
) -> genloss.Data:
    """Windows of a random Markov source over a few letters; no model can beat its entropy rate.

    Fields: `x` `[batch, length]`, tokens. Truth: `entropy_rate` (nats per token), `log_density`.

    The logits of each letter after each context of `order` letters are drawn from N(0, scale²). Windows are
    independent and begin in the stationary distribution π of the contexts, so the expected negative
    log-likelihood of a window is exactly H(π) + (length − order) · entropy rate: slightly more per token than
    the rate, since the first letters have less context.

    Options:
        letters: number of tokens, shown as a, b, c …; 8 by default.
        order: number of letters that the next one depends on; 2 by default.
        scale: standard deviation of the logits; 0 makes all letters equally likely; 1.5 by default.
        length: tokens per window; 64 by default.
        size, held_out: number of training and held-out windows; 10,000 and 2,500 by default.
        seed: seed for the source and the windows; 0 by default.

    Source: Shannon 1948, A Mathematical Theory of Communication (doi:10.1002/j.1538-7305.1948.tb01338.x),
    sections 3 to 7.

    Raises:
        RequestError: there are too many contexts, or a window is not longer than a context.
    """
    if letters**order > MOST_CONTEXTS:
        raise RequestError(
            f"{letters} letters have {letters**order:,} contexts of {order}; at most {MOST_CONTEXTS:,} "
            "are supported",
            hint="give fewer `letters` or a smaller `order`",
        )
    if length <= order:
        raise RequestError(
            f"a window of {length} letters is not longer than a context of {order}",
            hint="give a larger `length` or a smaller `order`",
        )
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(letters**order, letters, generator=generator, dtype=torch.float64)
    source = MarkovSource(logits.softmax(1))
    # Draw the held-out windows first, so that they do not depend on the training set's size.
    unseen = source.draw(held_out, length, generator)
    return genloss.Data(
        genloss.DataSpec(
            (length,),
            "tokens",
            size=size,
            vocabulary=letters,
            alphabet=tuple(string.ascii_lowercase[:letters]),
        ),
        train={"x": source.draw(size, length, generator)},
        held_out={"x": unseen},
        truth={"entropy_rate": source.entropy_rate, "log_density": source.log_density},
    )
