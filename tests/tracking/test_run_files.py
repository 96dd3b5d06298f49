"""Files that MLflow does not take: values and ends do not wait for them, and each is accounted for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from genloss.record.events import ArtifactWritten, ColumnsDeclared, Ended, Status
from genloss.tracking import store
from genloss.tracking.note import TAG
from tests.tracking.conftest import Shipped
from tests.tracking.studies import begin, block, columns

WEIGHTS = "artifacts/model/weights.safetensors"


def train(shipped: Shipped) -> None:
    """Writes a run that has kept its weights, and a report."""
    (shipped.folder.artifacts / "model").mkdir()
    (shipped.folder.path / WEIGHTS).write_bytes(bytes(5000))
    (shipped.folder.artifacts / "config.yaml").write_text("name: gan\n")
    with begin(shipped.folder) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total")))
        journal.event(ArtifactWritten(path=WEIGHTS, to="model"))
        journal.values(block(0, np.ones((5, 1))))
        journal.event(ArtifactWritten(path="artifacts/config.yaml"))
        journal.event(Ended(status=Status.FINISHED))
    shipped.study.report.write_text("the report")


def assert_ended(shipped: Shipped) -> None:
    """All is there but the files."""
    assert shipped.run.info.status == "FINISHED"
    assert shipped.steps(shipped.run.info.run_id) == list(range(5))
    ids = [found.experiment_id for found in shipped.client.search_experiments()]
    (comparison,) = shipped.client.search_runs(ids, "tags.`genloss.comparison` LIKE '%'")
    assert comparison.info.status == "FINISHED"
    assert TAG in comparison.data.tags
    assert any(TAG in found.tags for found in shipped.client.search_experiments())


def test_a_place_that_cannot_be_written(shipped: Shipped) -> None:
    Path("mlruns").write_text("no folder")
    train(shipped)
    assert not shipped.ship()
    assert_ended(shipped)
    assert shipped.folder.rejected().keys() == {WEIGHTS, "artifacts/config.yaml", "artifacts/journal.gz"}
    assert shipped.folder.pending() > 5000
    assert f"run `gan-losses/minimax-0`: MLflow did not take `{WEIGHTS}`: not a directory" in shipped.notes()
    assert "the comparison: MLflow did not take `report.html`: not a directory" in shipped.notes()
    assert WEIGHTS in shipped.tags()["genloss.rejected"]
    assert not shipped.ship()  # nothing has changed
    assert shipped.folder.pending() > 5000
    Path("mlruns").unlink()
    assert shipped.ship()
    assert shipped.study.pending() == 0
    assert shipped.files() == ["config.yaml", "journal.gz", "model"]
    assert shipped.files("model") == ["model/weights.safetensors"]
    assert "genloss.rejected" not in shipped.tags()
    assert shipped.steps(shipped.run.info.run_id) == list(range(5))


class Places(BaseHTTPRequestHandler):
    """Keeps files, but none that is too large for it, as a proxy's limit has it."""

    limit: int
    kept: dict[str, bytes]

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        taken = len(content) <= self.limit
        if taken:
            self.kept[self.path] = content
        self.send_response(200 if taken else 413)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def places() -> Iterator[type[Places]]:
    """A store of files at `address`."""
    handler = type("Handler", (Places,), {"limit": 1000, "kept": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        handler.address = f"http://127.0.0.1:{server.server_port}/files"
        yield handler
        server.shutdown()


def test_a_file_that_is_too_large_for_a_proxy(shipped: Shipped, places: type[Places]) -> None:
    shipped.client.create_experiment("gan-losses", artifact_location=places.address)  # type: ignore[attr-defined]
    train(shipped)
    assert not shipped.ship()
    assert_ended(shipped)
    (why,) = shipped.folder.rejected().values()
    assert "413" in why
    assert shipped.folder.rejected().keys() == {WEIGHTS}
    assert [Path(name).name for name in places.kept] == ["config.yaml", "journal.gz", "report.html"]
    places.limit = 10_000
    shipped.ship()
    assert "weights.safetensors" in [Path(name).name for name in places.kept]


def test_a_value_that_is_rejected_is_pending_and_tried_again(shipped: Shipped) -> None:
    with begin(shipped.folder) as journal:
        journal.event(ColumnsDeclared(columns=columns("generator/total", "generator/a|b")))
        journal.values(block(0, np.ones((50, 2))))
        journal.event(Ended(status=Status.FINISHED))
    assert not shipped.ship()
    assert shipped.folder.rejected().keys() == {"generator/a|b"}
    assert shipped.study.pending() == 1
    run_id = shipped.run.info.run_id
    assert not shipped.ship()
    assert (shipped.run.info.run_id, shipped.steps(run_id)) == (run_id, list(range(50)))
    assert shipped.study.pending() == 1


def test_a_copy_of_the_journal_that_cannot_be_written_is_no_reason_not_to_end(shipped: Shipped) -> None:
    shipped.record()
    shipped.folder.artifacts.rmdir()
    shipped.folder.artifacts.write_text("no folder")
    assert not shipped.ship()
    assert shipped.run.info.status == "FINISHED"
    assert shipped.folder.rejected().keys() == {"artifacts/journal.gz"}
    shipped.folder.artifacts.unlink()
    assert shipped.ship()
    assert shipped.files() == ["journal.gz"]


def test_a_store_that_raises_what_it_likes_is_told_in_its_words(shipped: Shipped) -> None:
    """Such as one for which a package is missing."""
    location = f"unknown-{store.ARTIFACTS.strip('./')}://files"
    shipped.client.create_experiment("gan-losses", artifact_location=location)
    train(shipped)
    assert not shipped.ship()
    assert_ended(shipped)
    assert shipped.folder.rejected().keys() == {WEIGHTS, "artifacts/config.yaml", "artifacts/journal.gz"}
