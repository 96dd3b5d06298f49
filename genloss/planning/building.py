"""Building models and losses for inspection, on the meta device."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

from genloss.errors import GenlossError

T = TypeVar("T")


def is_too_large(error: BaseException) -> bool:
    """Return whether an error says that there is no memory for a tensor or an array of such a size."""
    said = ("overflow", "can't allocate memory", "out of memory")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in said)
    )


def build_on_meta(build: Callable[[], T]) -> T:
    """What `build` gives, on torch's meta device, which takes no memory; on the CPU where that does not do.

    Pretrained weights are such a case: transformers refuses to load them there, and torch warns that it
    copies nothing. The generators that a process shares are left as they were.
    """
    import torch

    from genloss.training import seeds

    with warnings.catch_warnings(), seeds.forked(0, torch.device("cpu")):
        warnings.simplefilter("ignore")
        try:
            with torch.device("meta"):
                return build()
        except GenlossError:
            raise
        except RuntimeError as error:
            if is_too_large(error):  # it would be so on the CPU as well
                raise
            return build()
        except Exception:  # whatever a constructor raises where tensors have no values
            return build()
