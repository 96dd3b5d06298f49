"""The most memory that a run takes."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest
import torch

from genloss.training import memory
from genloss.training.memory import PeakMemory

BIG = 60_000_000


def take(size: int) -> None:
    """Holds so many bytes for a moment, of the system and not of what the process has left over."""
    with mmap.mmap(-1, size) as held:
        for page in range(0, size, mmap.PAGESIZE):
            held[page] = 1


@pytest.mark.skipif(not memory.CLEAR.exists(), reason="only Linux starts over with the peak of a process")
def test_what_an_earlier_run_of_the_process_took_does_not_count() -> None:
    first = PeakMemory("cpu")
    take(4 * BIG)
    most = first.read()
    second = PeakMemory("cpu")
    take(BIG)
    less = second.read()
    assert most is not None
    assert less is not None
    assert 2 * BIG < most - less < 4 * BIG


def test_where_the_system_cannot_begin_anew_only_a_new_peak_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "CLEAR", Path("/proc/none/clear_refs"))
    peaks = iter([500, 500, 500, 800])
    monkeypatch.setattr(memory, "_process_peak", lambda: next(peaks))
    assert PeakMemory("cpu").read() is None
    assert PeakMemory("cpu").read() == 800


def test_the_process_s_peak_is_in_bytes() -> None:
    take(BIG)
    assert BIG < memory._process_peak() < 1000 * BIG


def test_of_other_devices_it_is_not_known() -> None:
    assert PeakMemory("mps").read() is None


def test_a_device_that_is_not_there_is_the_run_s_own_trouble() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    assert PeakMemory("cuda:0").read() is None


@pytest.mark.gpu
def test_on_cuda_it_is_torch_s_own_peak() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    held = torch.ones(BIG, dtype=torch.uint8, device="cuda")
    del held
    first = PeakMemory("cuda:0")
    kept = torch.ones(BIG // 2, dtype=torch.uint8, device="cuda")
    peak = first.read()
    assert peak is not None
    assert kept.numel() <= peak < BIG
