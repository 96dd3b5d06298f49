"""The autoregressive model, which predicts each element from those before it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

import genloss
from genloss.errors import DefinitionError
from genloss_builtin.models.networks import MADE, Network, Positive, pixel_cnn, require_images


class AutoregressiveTurn(genloss.Turn["Autoregressive"]):
    """Quantities that an autoregressive model offers to losses; a token is text, or one colour of a pixel."""

    @cached_property
    def targets(self) -> Int[Tensor, "batch tokens"]:
        """The data as indices into the vocabulary, in the order of generation."""
        return self.model.to_tokens(self.x)

    @cached_property
    def logits(self) -> Float[Tensor, "batch tokens vocabulary"]:
        """Logits of each token given those before it."""
        return self.model.predict(self.targets)


class Autoregressive(genloss.Model):
    """p(x) as a product over the elements of x, each categorical given those before it.

    Elements are in raster order, row by row, with the colours of a pixel one after another. Masked weights
    prevent each element from depending on itself and on later ones.

    Options:
        network: "mlp" (MADE), or "conv" (PixelCNN) for images ("mlp").
        hidden: widths of the hidden layers; with "conv" their channels ([128, 128]).

    Source:
        Germain et al. 2015, "MADE", arXiv:1502.03509; van den Oord, Kalchbrenner & Kavukcuoglu 2016, "Pixel
        Recurrent Neural Networks", arXiv:1601.06759.
    """

    def __init__(
        self,
        data: genloss.DataSpec,
        *,
        network: Network = "mlp",
        hidden: tuple[Positive, ...] = (128, 128),
    ) -> None:
        super().__init__(data)
        if data.vocabulary is None or (data.kind != "tokens" and data.value_range is None):
            raise DefinitionError(
                "`autoregressive` needs data with a known number of levels, but this data has no "
                + ("`vocabulary`" if data.vocabulary is None else "`value_range`"),
                hint="use `gan` or `vae` for continuous data",
            )
        self.vocabulary = data.vocabulary
        self.value_range: tuple[float, float] = data.value_range or (0, data.vocabulary - 1)
        self.tokens = math.prod(data.event_shape)
        self.network = network
        if network == "conv":
            require_images(data)
            self.layers: nn.Module = pixel_cnn(data.event_shape[0], hidden, self.vocabulary)
        else:
            inputs = self.vocabulary if data.kind == "tokens" else 1
            self.layers = MADE(self.tokens, inputs, hidden, self.vocabulary)

    def turns(self) -> Mapping[str, type[genloss.Turn[Any]]]:
        return {"network": AutoregressiveTurn}

    def players(self) -> Mapping[str, nn.Module]:
        return {"network": self}

    def to_tokens(self, x: Tensor) -> Int[Tensor, "batch tokens"]:
        """Map data `[batch, *event]` to indices into the vocabulary, rounding each value to a level."""
        if self.data.kind == "tokens":
            return x
        low, high = self.value_range
        levels = ((x - low) * ((self.vocabulary - 1) / (high - low))).round().long()
        return levels.movedim(1, -1).flatten(1)

    def to_data(self, tokens: Int[Tensor, "batch tokens"]) -> Tensor:
        """Invert `to_tokens`, in the parameters' dtype; text tokens are returned unchanged."""
        if self.data.kind == "tokens":
            return tokens
        low, high = self.value_range
        levels = self._as_event(tokens).to(self._weight.dtype)
        return levels * (high - low) / (self.vocabulary - 1) + low

    def predict(self, tokens: Int[Tensor, "batch tokens"]) -> Float[Tensor, "batch tokens vocabulary"]:
        """Logits of each token given those before it."""
        return self.logits(self.inputs(tokens))

    def inputs(self, tokens: Int[Tensor, "batch tokens"]) -> Tensor:
        """Return the network's input: levels from -1 to 1, as an image for "conv"; text tokens one-hot."""
        if self.data.kind == "tokens":
            one_hot = tokens.unsqueeze(-1) == torch.arange(self.vocabulary, device=tokens.device)
            return one_hot.flatten(1).to(self._weight.dtype)
        levels = tokens.to(self._weight.dtype) * (2 / (self.vocabulary - 1)) - 1
        return self._as_event(levels) if self.network == "conv" else levels

    def logits(self, inputs: Tensor) -> Float[Tensor, "batch tokens vocabulary"]:
        """Compute the logits of each token from the network's input."""
        out: Tensor = self.layers(inputs)
        if self.network == "mlp":
            return out.view(-1, self.tokens, self.vocabulary)
        # From [batch, vocabulary · colours, height, width], colours varying fastest.
        out = out.view(-1, self.vocabulary, *self.data.event_shape)
        return out.permute(0, 3, 4, 2, 1).flatten(1, 3)

    @property
    def _weight(self) -> Tensor:
        return next(self.parameters())

    def _as_event(self, tokens: Tensor) -> Tensor:
        # Colours are the last dimension in generation order, and the first in an image.
        first, *rest = self.data.event_shape
        return tokens.view(-1, *rest, first).movedim(-1, 1)

    def sample(self, count: int) -> Tensor:
        """Draw examples token by token, each from its distribution given those before it."""
        tokens = torch.zeros(count, self.tokens, dtype=torch.long, device=self._weight.device)
        with torch.no_grad():
            for t in range(self.tokens):
                probabilities = self.predict(tokens)[:, t].softmax(-1)
                tokens[:, t] = torch.multinomial(probabilities, 1).squeeze(1)
        return self.to_data(tokens)

    def log_likelihood(self, x: Tensor) -> Float[Tensor, "batch"]:
        """Compute the exact log p(x) in nats; p is a probability, since x is discrete."""
        with torch.no_grad():
            targets = self.to_tokens(x)
            log_p = self.predict(targets).log_softmax(-1)
            return log_p.gather(-1, targets.unsqueeze(-1)).squeeze(-1).sum(1)
