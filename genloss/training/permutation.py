"""A permutation of very many numbers, which is computed where it is asked for and takes no memory."""

from __future__ import annotations

import torch
from torch import Tensor

ROUNDS = 6
WEYL, MIX = -7046029254386353131, -4658895280553007687
"""Odd constants of SplitMix64, as signed numbers."""


class Permutation:
    """A permutation of 0 … size − 1, by a Feistel network over an even number of bits.

    What falls beyond the size is sent through it again until it does not: that keeps it a permutation
    (cycle walking: Black & Rogaway 2002, Ciphers with Arbitrary Finite Domains).

    Args:
        size: how many numbers.
        generator: gives the keys of the rounds; on the CPU.
        device: where the indices are wanted.
    """

    def __init__(self, size: int, generator: torch.Generator, device: torch.device) -> None:
        self._size = size
        self._half = ((size - 1).bit_length() + 1) // 2
        self._keys = torch.randint(2**62, (ROUNDS,), generator=generator).tolist()
        self._device = device

    def __getitem__(self, part: slice) -> Tensor:
        """The numbers at the places of a slice with a beginning and an end."""
        found = self._sent_through(torch.arange(part.start, part.stop, device=self._device))
        while (beyond := (found >= self._size).nonzero().squeeze(1)).numel():
            found[beyond] = self._sent_through(found[beyond])
        return found

    def _sent_through(self, x: Tensor) -> Tensor:
        mask = (1 << self._half) - 1
        left, right = x >> self._half, x & mask
        for key in self._keys:
            mixed = (right + key) * WEYL
            mixed = (mixed ^ (mixed >> 32)) * MIX
            left, right = right, left ^ ((mixed ^ (mixed >> 29)) & mask)
        return (left << self._half) | right
