"""Notes that `genloss plan` prints about data read from files: counts, labels and value statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.data import Dataset

import genloss
from genloss_builtin.datasets._files import labels_of

SAMPLE = 256
"""Number of training examples used for the statistics, evenly spaced so that sorted data does not mislead."""

NAMES, BEGINNING = 8, 60
"""Maximum number of classes that are named, and of characters of a text that are shown."""


def with_notes(
    data: genloss.Data,
    how: str,
    *,
    names: Sequence[str] = (),
    more: Sequence[str] = (),
) -> genloss.Data:
    """Return the data with notes on how it was read.

    Args:
        data: the data to describe.
        how: which examples are held out, in words.
        names: names of the classes, if any.
        more: further notes.
    """
    count = len(data.held_out) if isinstance(data.held_out, Dataset) else len(data.held_out["x"])  # type: ignore[arg-type]
    lines = [f"held out: {count:,} example{'s' * (count != 1)}, {how}"]
    train, held_out = map(labels_of, (data.train, data.held_out))
    if train is not None and len(train):
        lines.append(_said_of_labels(train, held_out, names))
    notes = (*lines, *more, *_said_of_values(data))
    return replace(data, notes=notes, digest=vars(data)["digest"])  # keep a lazy digest lazy


def drawn_at_random(share: float, seed: int) -> str:
    """Describe in words how a share of the examples is held out."""
    return f"{share:g} of all, drawn at random with seed {seed}"


def _said_of_labels(train: Tensor, held_out: Tensor | None, names: Sequence[str]) -> str:
    found, counts = torch.unique(train, return_counts=True)
    least, most = int(counts.min()), int(counts.max())
    each = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    what = f"{len(found)} class{'es' * (len(found) != 1)}"
    if names:
        what += f" ({', '.join(names[:NAMES])}{', …' * (len(names) > NAMES)})"
    elif (found[-1] - found[0] + 1) != len(found):
        what += f" among {int(found[0])} … {int(found[-1])}"
    else:
        what += f" ({int(found[0])} … {int(found[-1])})"
    said = f"labels: {what}, {each} training examples each"
    if held_out is None or not len(held_out):
        return f"{said}; held-out examples have no labels"
    unseen = [int(label) for label in torch.unique(held_out) if label not in found]
    if unseen:
        said += f"; {len(unseen)} held-out classes are missing from the training data, such as {unseen[0]}"
    return said


def _said_of_values(data: genloss.Data) -> list[str]:
    """Minimum, maximum, and mean and standard deviation per channel, over some training examples."""
    train = data.train
    size = data.spec.size
    chosen = torch.linspace(0, size - 1, min(size, SAMPLE), dtype=torch.float64).round().long()
    if isinstance(train, genloss.Stored):
        x = train.read(chosen)["x"]
    elif isinstance(train, Dataset):
        chosen = chosen[:: max(1, len(chosen) // 32)]  # each one has to be decoded
        x = torch.stack([train[int(index)]["x"] for index in chosen])
    else:
        x = train["x"][chosen]
    if data.spec.kind == "tokens":
        alphabet = data.spec.alphabet
        if alphabet is None:
            return [
                f"tokens: {len(torch.unique(x)):,} of {data.spec.vocabulary:,} occur in {_counted(len(x))}"
            ]
        text = "".join(alphabet[token] for token in x[0][:BEGINNING].tolist())
        return [f"vocabulary: {data.spec.vocabulary:,}; the text begins with {text!r}"]
    x = x.double()
    dims = [dim for dim in range(x.dim()) if dim != 1] if data.spec.kind == "image" else list(range(x.dim()))
    means, deviations = x.mean(dims).reshape(-1), x.std(dims, correction=0).reshape(-1)
    of_each = f" of {len(means)} channels" if len(means) > 1 else ""
    return [
        f"values: {x.min():.3g} to {x.max():.3g}, mean {_listed(means)}, standard deviation "
        f"{_listed(deviations)}{of_each} (over {_counted(len(x))})"
    ]


def _counted(count: int) -> str:
    return f"{count:,} training example{'s' * (count != 1)}"


def _listed(numbers: Tensor) -> str:
    shown = [f"{number:.3g}" for number in numbers[:4].tolist()]
    return ", ".join([*shown, *(["…"] if len(numbers) > 4 else [])])
