"""What a loss must do.

documents    what it says about itself
values       shape, dtype, precision, edges of the domain
magnitudes   digits, where its quantities are small, great or nearly equal
batches      order, size and parts of a batch
gradients    where they go, and whether they are right
options      what they change
purity       what it leaves alone: its quantities, the host, torch's settings
transforms   `vmap` and `compile`

draw         valid arguments, from the annotations
case         the loss with values of its options
noise        the same noise twice, for a loss that draws some
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from genloss.conformance.losses import (
    batches,
    documents,
    draw,
    gradients,
    magnitudes,
    options,
    purity,
    transforms,
    values,
)
from genloss.conformance.losses.case import Subject
from genloss.conformance.running import check
from genloss.conformance.suite import Check
from genloss.contracts.loss import Loss


def checks_of_loss(loss: Loss[Any]) -> Iterable[Check]:
    """The checks of a loss; none of one that is unavailable. It is not called before one of them runs."""
    if loss.unavailable is not None:
        return
    subject = Subject(loss)
    for function in _applicable(subject):
        call = functools.partial(_run, function, subject)
        yield check(loss, function, call, fundamental=function is values.value)


def _run(function: Callable[[Subject], None], subject: Subject) -> None:
    with purity.settings_kept():
        function(subject)


def _applicable(subject: Subject) -> Iterator[Callable[[Subject], None]]:
    """The checks that a loss's signature calls for."""
    loss = subject.loss
    quantities = loss.quantities.values()
    yield from (documents.declaration, documents.docstring, values.value, documents.example)
    # First what makes others fail as well.
    yield from (purity.random_state, purity.host_reads, purity.inputs_unchanged)
    yield from (values.dtype, values.precision, values.edge_values, magnitudes.magnitudes)
    if values.logits(loss):
        yield values.raw_logits
    yield from (batches.permutation, batches.repetition)
    if not loss.batch_coupled:
        yield from (batches.independence, batches.micro_batches)
    if any("samples" in draw.dimensions(quantity) for quantity in quantities):
        yield batches.repeated_samples
    if batches.summed_dimension(loss) is not None:
        yield batches.event_sum
    yield from (gradients.gradients_reach, gradients.gradcheck, gradients.gradgradcheck)
    if loss.stop_gradient:
        yield gradients.stop_gradient
    if loss.options:
        yield options.options
    if options.smoothing_options(subject):
        yield options.smoothing
    yield from (purity.seed, purity.global_state, purity.device, transforms.vmap, transforms.compile)
    if loss.is_module:
        yield from (gradients.parameters, purity.saved_state)
        if any(option.takes_schedule for option in loss.options.values()):
            yield options.schedules
