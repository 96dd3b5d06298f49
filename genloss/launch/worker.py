"""A worker: a process that trains one run after another, as the launcher says.

It is started as `python -m genloss.launch.worker FD`, where FD is its end of a socket pair. It is told
`{"run": FOLDER}` and answers with progress and `{"status": …}`; `{"stop": true}`, or the end of the pipe
(the launcher is gone), lets it stop after the step it is in.
"""

from __future__ import annotations

import faulthandler
import json
import signal
import sys
import threading
import warnings
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
    stop = threading.Event()

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

    def send(message: dict[str, Any]) -> None:
        try:
            connection.send_bytes(json.dumps(message).encode())
        except OSError:
            stop.set()  # the launcher is gone

    import torch

    from genloss.launch.execute import execute

    while (request := requests.get()) is not None:
        torch.set_num_threads(request["threads"])
        status = execute(RunFolder(Path(request["run"])), send, stop.is_set)
        send({"status": status})


if __name__ == "__main__":
    main()
