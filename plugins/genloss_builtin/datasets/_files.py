"""What the datasets of a user's own files share: images of bytes, labels, and a part that is held out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Gt, Lt
from torch import Tensor

import genloss
from genloss.errors import RequestError

Array = np.ndarray[Any, np.dtype[Any]]
Fields = dict[str, Tensor]
Share = Annotated[float, Gt(0), Lt(1)]


def require_file(path: Path) -> None:
    """Raises RequestError unless there is such a file."""
    if path.is_dir():
        raise RequestError(f"`{path}` is a folder, and a file is needed")
    if not path.is_file():
        raise RequestError(f"there is no file `{path}`", hint="`path` is relative to the experiment's YAML")


def scaled(levels: Array) -> Array:
    """Levels 0 … 255 of uint8 as float32 in [0, 1]."""
    return levels / np.float32(255)


def label_field(name: str, array: Array, examples: int) -> Tensor:
    """An array as the labels of so many examples: int64 `[examples]`.

    Raises:
        RequestError: it is not one integer for each.
    """
    if array.shape != (examples,) or array.dtype.kind not in "iu":
        raise RequestError(
            f"`{name}` {list(array.shape)} of {array.dtype} holds no labels",
            hint=f"labels are integers, one for each of the {examples} examples",
        )
    return torch.from_numpy(array.astype(np.int64))


def drawn(count: int, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """The indices that are trained on, and a share drawn at random that is not."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    unseen, trained = order.tensor_split([round(share * count)])
    return trained, unseen


def divided(fields: Fields, share: float, seed: int) -> tuple[Fields, Fields]:
    """The examples that are trained on, and a share drawn at random that is not."""
    trained, unseen = (
        {name: tensor[chosen] for name, tensor in fields.items()}
        for chosen in drawn(len(fields["x"]), share, seed)
    )
    return trained, unseen


def require_two(source: str, *, training: int, held_out: int) -> None:
    """Raises RequestError unless there are at least two examples in both parts."""
    for what, count in (("training", training), ("held-out", held_out)):
        if count < 2:
            raise RequestError(
                f"`{source}` gives {count} {what} example{'s' * (count != 1)}; at least 2 are needed",
                hint="store more examples, or give another `held_out`",
            )


def images_of_bytes(train: Fields, held_out: Fields) -> genloss.Data:
    """Data of images whose 256 levels were scaled to [0, 1]."""
    x = train["x"]
    return genloss.Data(
        genloss.DataSpec(tuple(x.shape[1:]), "image", size=len(x), value_range=(0.0, 1.0), vocabulary=256),
        train=train,
        held_out=held_out,
    )
