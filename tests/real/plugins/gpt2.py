"""GPT-2 of `transformers`, from a configuration: its output is a dataclass, its weights are tied."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

import genloss


class GPT2Turn(genloss.Turn["GPT2"]):
    """What GPT-2 offers: the logits of each token but the first."""

    @cached_property
    def targets(self) -> Int[Tensor, "batch positions"]:
        """The tokens after the first."""
        return self.x[:, 1:]

    @cached_property
    def logits(self) -> Float[Tensor, "batch positions vocabulary"]:
        """Logits of each token, given those before it."""
        return self.model.network(self.x[:, :-1]).logits


class GPT2(genloss.Model):
    """A small GPT-2."""

    def __init__(self, data: genloss.DataSpec, *, width: int = 16, layers: int = 1) -> None:
        from transformers import GPT2Config, GPT2LMHeadModel

        super().__init__(data)
        (self.length,) = data.event_shape
        config = GPT2Config(
            vocab_size=data.vocabulary,
            n_positions=self.length,
            n_embd=width,
            n_layer=layers,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
        )
        self.network = GPT2LMHeadModel(config)

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": GPT2Turn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self.network}

    @torch.no_grad()
    def sample(self, count: int) -> Tensor:
        """Texts drawn token by token, after a first token drawn uniformly."""
        tokens = torch.randint(self.data.vocabulary or 1, (count, 1))
        while tokens.shape[1] < self.length:
            logits = self.network(tokens).logits[:, -1]
            tokens = torch.cat([tokens, torch.multinomial(logits.softmax(-1), 1)], 1)
        return tokens


@genloss.hookimpl
def genloss_models():
    yield GPT2
