"""A worker: a process that trains one run after another, as the launcher says.

It is started as `python -m genloss.launch.worker FD`, where FD is its end of a socket pair, or forked from a
fork server (forkserver.py), which is started so with `--forks`. It is told `{"run": FOLDER, "log": FILE, …}`,
prints to that file, and answers with progress, with warnings and at last with an outcome (outcome.py). With
`"prunable": true`, it waits after each evaluation for `{"pruned": true}` or `false`. `{"stop": true}`, or the
end of the pipe (the launcher is gone), lets it stop after the step it is in; so does SIGTERM, for the run
that it trains.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import signal
import sys
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from genloss import output
from genloss.launch.forkserver import serve
from genloss.record.files import Descriptor
from genloss.record.folder import RunFolder
from genloss.registry.catalogue import PluginWarning

LOST = b"the pipe to the launcher was closed by code that had not opened it, as `os.closerange` does\n"


def main() -> None:
    number = int(sys.argv[1])
    if "--forks" in sys.argv:
        serve(number, work)
    else:
        work(number)


def work(number: int) -> None:
    """Train the runs requested through the pipe of this descriptor, until it is closed."""
    faulthandler.enable()
    output.protect()
    # Ctrl-C is the launcher's affair: it tells its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The launcher has said it already.
    warnings.simplefilter("ignore", PluginWarning)
    os.set_inheritable(number, False)  # nor is it for the processes that a plugin starts
    connection, pipe = Connection(number), Descriptor(number)
    requests: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    verdicts: SimpleQueue[bool] = SimpleQueue()
    stop, terminated = threading.Event(), threading.Event()
    # Whoever ends all processes of a study by SIGTERM wants it to go on some day.
    signal.signal(signal.SIGTERM, lambda *_: terminated.set())

    def should_stop() -> bool:
        return stop.is_set() or terminated.is_set()

    def listen() -> None:
        while True:
            try:
                request = json.loads(connection.recv_bytes())
            except (EOFError, OSError):
                stop.set()
                requests.put(None)
                verdicts.put(False)
                return
            if "stop" in request:
                stop.set()
            elif "pruned" in request:
                verdicts.put(request["pruned"])
            else:
                requests.put(request)

    threading.Thread(target=listen, daemon=True).start()
    sending = threading.Lock()  # the recorder's thread tells of progress, too

    def send(message: dict[str, Any]) -> None:
        if not pipe.is_own():
            os.write(2, LOST)
            os._exit(1)
        try:
            with sending:
                connection.send_bytes(json.dumps(message).encode())
        except OSError:
            stop.set()  # the launcher is gone

    def is_pruned(step: int, numbers: Mapping[str, float]) -> bool:
        send({"step": step, "evaluation": numbers})
        return verdicts.get()

    import torch

    from genloss.launch.execute import execute

    while (request := requests.get()) is not None:
        print_to(request["log"])
        torch.set_num_threads(request["threads"])
        terminated.clear()
        judge = is_pruned if request["prunable"] else None
        folder = RunFolder(Path(request["run"]))
        outcome = execute(folder, send, should_stop, drift=request["drift"], is_pruned=judge)
        send(asdict(outcome))
    gc.freeze()  # else Python looks through all of torch when it ends, for half a second


def print_to(path: str) -> None:
    """Send what this process prints to the end of a file; leaves it where it goes if that cannot be."""
    with suppress(OSError):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.close(file)


if __name__ == "__main__":
    main()
