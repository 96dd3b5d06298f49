"""The most memory that a run takes, asked for once at its beginning and once at its end."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

CLEAR = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")
RESET_PEAK = "5"
"""What Linux wants to be written there, to start over with the peak of the resident memory."""


class PeakMemory:
    """Begins to measure when it is made.

    On the CPU it is the peak of the process's resident memory: torch, the data and what earlier runs of the
    same process have left are in it. On CUDA it is torch's peak of allocated memory, on that device alone.

    Args:
        device: torch's name.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._began_anew = False
        self._before = 0
        if device.startswith("cuda"):
            import torch

            with suppress(RuntimeError, AssertionError):  # the run itself says what is wrong with the device
                torch.cuda.init()  # type: ignore[no-untyped-call]
                torch.cuda.reset_peak_memory_stats(device)
                self._began_anew = True
        elif device == "cpu":
            with suppress(OSError):
                CLEAR.write_text(RESET_PEAK, encoding="utf-8")
                self._began_anew = True
            self._before = _process_peak()

    def read(self) -> int | None:
        """Bytes; None where it is not known.

        Where the system cannot start over, it is not known of a run that stayed below the peak of an earlier
        run of the same process.
        """
        if self._device.startswith("cuda") and self._began_anew:
            import torch

            with suppress(RuntimeError):
                return int(torch.cuda.max_memory_allocated(self._device))
        if self._device != "cpu":
            return None
        if self._began_anew:
            with suppress(OSError, ValueError, StopIteration):
                lines = STATUS.read_text(encoding="utf-8").splitlines()
                return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
        peak = _process_peak()
        return peak if peak > self._before else None


def _process_peak() -> int:
    """The peak of the resident memory since the process began, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
