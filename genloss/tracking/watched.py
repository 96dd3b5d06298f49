"""Run a command until standard input ends, that is, until its parent ends for whatever reason.

    python watched.py COMMAND…

It is run as a file, so that it imports next to nothing, and leads a process group of its own, which it ends.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

POLL_SECONDS = 0.5
GRACE_SECONDS = 3.0


def main(command: list[str]) -> int:
    """Return the command's exit code."""
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)  # what ends with it is nobody else's
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while process.poll() is None:
        readable, _, _ = select.select([sys.stdin], [], [], POLL_SECONDS)
        if readable and not os.read(sys.stdin.fileno(), 1):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.killpg(0, signal.SIGTERM)
            try:
                process.wait(GRACE_SECONDS)
            finally:
                os.killpg(0, signal.SIGKILL)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
