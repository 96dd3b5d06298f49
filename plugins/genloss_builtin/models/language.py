"""The language model: a small decoder-only transformer over tokens."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, cast

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

import genloss
from genloss.errors import DefinitionError
from genloss_builtin.models.networks import Positive

Hidden = Float[Tensor, "batch tokens features"]


class Cache:
    """Keys and values `[batch, heads, tokens, features]` of the tokens a layer has processed."""

    def __init__(self) -> None:
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Append the keys and values of the next tokens, and return all."""
        self.keys.append(key)
        self.values.append(value)
        return torch.cat(self.keys, 2), torch.cat(self.values, 2)


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.query_key_value = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, h: Hidden) -> Hidden:
        query, key, value = self._heads(h)
        dropout = self.dropout if self.training else 0.0
        return self._merged(
            F.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        )

    def step(self, h: Hidden, cache: Cache) -> Hidden:
        """Attend from one new token to itself and all tokens in the cache."""
        query, key, value = self._heads(h)
        return self._merged(F.scaled_dot_product_attention(query, *cache.extend(key, value)))

    def _heads(self, h: Hidden) -> tuple[Tensor, ...]:
        """Return query, key and value, each `[batch, heads, tokens, features]`."""
        split: Tensor = self.query_key_value(h).unflatten(-1, (3, self.heads, -1))
        return split.permute(2, 0, 3, 1, 4).unbind()

    def _merged(self, attended: Tensor) -> Hidden:
        out: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention and an MLP, each applied to normalised features and added to the residual stream."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Hidden) -> Hidden:
        h = h + self.dropout(self.attention(self.attention_norm(h)))
        out: Tensor = h + self.dropout(self.mlp(self.mlp_norm(h)))
        return out

    def step(self, h: Hidden, cache: Cache) -> Hidden:
        """Process one new token, without dropout."""
        h = h + self.attention.step(self.attention_norm(h), cache)
        out: Tensor = h + self.mlp(self.mlp_norm(h))
        return out


class LanguageTurn(genloss.Turn["Language"]):
    """Quantities that a language model offers to losses; the large logits are computed only on demand."""

    @cached_property
    def targets(self) -> Int[Tensor, "batch tokens"]:
        """The tokens, as indices into the vocabulary."""
        return self.x

    @cached_property
    def hidden(self) -> Float[Tensor, "batch tokens features"]:
        """Features from which each token is predicted given those before it."""
        return self.model.hidden(self.x)

    @cached_property
    def output_weight(self) -> Float[Tensor, "vocabulary features"]:
        """Weight of the output layer, which has no bias: logits are hidden · output_weightᵀ."""
        return self.model.output.weight

    @cached_property
    def logits(self) -> Float[Tensor, "batch tokens vocabulary"]:
        """Logits of each token given those before it."""
        return F.linear(self.hidden, self.output_weight)


class Language(genloss.Model):
    """A causal transformer: p(x) as a product over the tokens of x, each given those before it.

    Pre-norm blocks of attention and an MLP four times as wide, with learned position embeddings. A
    begin-of-text vector precedes the first token, so that the first token has a probability as well. The
    output layer has its own weight and no bias.

    Options:
        width: number of features per token, a multiple of `heads` (64).
        layers: number of blocks (2).
        heads: number of attention heads (4).
        dropout: dropout probability of features and attention weights (0).
        temperature: divides the logits in `sample`; below 1, likely tokens become likelier, and samples are
            no longer draws from p(x) (1).

    Source:
        Vaswani et al. 2017, "Attention Is All You Need", arXiv:1706.03762; pre-norm blocks and
        initialisation as in Radford et al. 2019, "Language Models are Unsupervised Multitask Learners".
    """

    def __init__(
        self,
        data: genloss.DataSpec,
        *,
        width: Positive = 64,
        layers: Positive = 2,
        heads: Positive = 4,
        dropout: Annotated[float, Ge(0), Lt(1)] = 0.0,
        temperature: Annotated[float, Gt(0)] = 1.0,
    ) -> None:
        super().__init__(data)
        if data.kind != "tokens" or data.vocabulary is None:
            raise DefinitionError(
                f"`language` models tokens of a known vocabulary, but this data is {data.kind}"
                + (" without a `vocabulary`" if data.kind == "tokens" else ""),
                hint="use `autoregressive` for images with a known number of levels",
            )
        if width % heads:
            raise DefinitionError(
                f"`width` is {width}, which is not divisible by {heads} heads",
                hint=f"give a multiple of `heads`, such as {-(-width // heads) * heads}",
            )
        self.vocabulary = data.vocabulary
        (self.length,) = data.event_shape
        self.temperature = temperature
        self.begin = nn.Parameter(torch.empty(width))
        self.embedding = nn.Embedding(self.vocabulary, width)
        self.positions = nn.Embedding(self.length, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, self.vocabulary, bias=False)
        self._initialise()

    def _initialise(self) -> None:
        """Initialise with small weights, even smaller where outputs accumulate in the residual stream."""
        for name, parameter in self.named_parameters():
            if name.endswith(("attention.output.weight", "mlp.2.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * len(self.blocks)))
            elif parameter.dim() > 1 or name == "begin":
                nn.init.normal_(parameter, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": LanguageTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self}

    def hidden(self, tokens: Int[Tensor, "batch tokens"]) -> Hidden:
        """Return the features from which each token is predicted; those at t depend on tokens before t."""
        # The input is shifted by one position, after the begin-of-text vector.
        begin = self.begin.expand(len(tokens), 1, -1)
        read = torch.cat([begin, self.embedding(tokens[:, :-1])], 1)
        h = self.dropout(read + self.positions.weight[: tokens.shape[1]])
        for block in self.blocks:
            h = block(h)
        normed: Tensor = self.norm(h)
        return normed

    def sample(self, count: int) -> Tensor:
        """Draw sequences token by token, each from its distribution given those before it."""
        blocks = [(block, Cache()) for block in cast("Sequence[Block]", self.blocks)]
        read = self.begin.expand(count, 1, -1)
        tokens = []
        with torch.no_grad():
            for t in range(self.length):
                h = read + self.positions.weight[t]
                # `forward` is not used, since torch.compile would recompile it for each length.
                for block, cache in blocks:
                    h = block.step(h, cache)
                logits = self.output(self.norm(h[:, 0])) / self.temperature
                tokens.append(torch.multinomial(logits.softmax(-1), 1))
                read = self.embedding(tokens[-1])
        return torch.cat(tokens, 1)

    def log_likelihood(self, x: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch"]:
        """Compute the exact log p(x) in nats; p is a probability, since x is discrete."""
        with torch.no_grad():
            logits: Tensor = self.output(self.hidden(x))
            return -F.cross_entropy(logits.flatten(0, 1), x.flatten(), reduction="none").view_as(x).sum(1)
