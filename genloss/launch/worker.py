"""A worker: a process that trains one run after another, as the launcher says.

It is started as `python -m genloss.launch.worker FD`, where FD is its end of a socket pair. It is told
`{"run": FOLDER, …}` and answers with progress, with warnings and at last with an outcome (outcome.py).
`{"stop": true}`, or the end of the pipe (the launcher is gone), lets it stop after the step it is in; so does
SIGTERM, for the run that it trains.
"""

from __future__ import annotations

import faulthandler
import json
import signal
import sys
import threading
import warnings
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from genloss.record.folder import RunFolder
from genloss.registry import PluginWarning


def main() -> None:
    faulthandler.enable()
    # Ctrl-C is the launcher's affair: it tells its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The launcher has said it already.
    warnings.simplefilter("ignore", PluginWarning)
    connection = Connection(int(sys.argv[1]))
    requests: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
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
                return
            if "stop" in request:
                stop.set()
            else:
                requests.put(request)

    threading.Thread(target=listen, daemon=True).start()
    sending = threading.Lock()  # the recorder's thread tells of progress, too

    def send(message: dict[str, Any]) -> None:
        try:
            with sending:
                connection.send_bytes(json.dumps(message).encode())
        except OSError:
            stop.set()  # the launcher is gone

    import torch

    from genloss.launch.execute import execute

    while (request := requests.get()) is not None:
        torch.set_num_threads(request["threads"])
        terminated.clear()
        outcome = execute(RunFolder(Path(request["run"])), send, should_stop, drift=request["drift"])
        send(asdict(outcome))


if __name__ == "__main__":
    main()
