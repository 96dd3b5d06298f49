"""The likelihood of held-out data, for models with a tractable one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

import genloss
from genloss.errors import DefinitionError


@genloss.metric(
    unit={"nll": "nats", "bits_per_dimension": "bits"},
    higher_is_better={"nll": False, "bits_per_dimension": False},
    version="1",
)
def negative_log_likelihood(
    log_likelihood: Callable[[Tensor], Tensor],
    held_out: genloss.Examples,
    *,
    batch_size: Annotated[int, Ge(1)] = 500,
) -> dict[str, float]:
    """Mean negative log-likelihood of held-out data, per example and per dimension.

    Formula: nll = −mean log p(x) in nats; bits_per_dimension = nll / (D ln 2), with D elements per example:
    for text, bits per token.

    Unit: nats (`nll`) and bits (`bits_per_dimension`). A density is with respect to the data's own unit: for
    images whose 256 levels are scaled to [0, 1], add log₂ 255 = 7.99 to get the bits of the levels.
    Direction: lower is better.
    Reference: the data's exact log-density in place of the model's: the entropy, up to sampling error.

    Options:
        batch_size: number of held-out examples evaluated at once; 500 by default.

    Source: Theis et al. 2015, A note on the evaluation of generative models (arXiv:1511.01844).

    Raises:
        DefinitionError: the model does not return one value per example.
    """
    sums = []
    with torch.no_grad():
        for batch in held_out.batches(batch_size):
            values = log_likelihood(batch)
            if values.shape != batch.shape[:1]:
                raise DefinitionError(
                    f"`log_likelihood` returned shape {list(values.shape)} for {len(batch)} examples",
                    hint="return one value per example, summed over the event's dimensions, in nats",
                )
            sums.append(values.sum())
    nll = -math.fsum(torch.stack(sums).tolist()) / len(held_out)
    dimensions = math.prod(held_out.shape[1:])
    return {"nll": nll, "bits_per_dimension": nll / (dimensions * math.log(2))}
