"""The kinds of definitions that plugins offer."""

from __future__ import annotations

KINDS = ("losses", "models", "datasets", "metrics")
HOOKS = tuple(f"genloss_{kind}" for kind in KINDS)


def singular(kind: str) -> str:
    """One of a kind: `losses` → `loss`."""
    return "loss" if kind == "losses" else kind.removesuffix("s")
