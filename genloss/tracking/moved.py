"""A store that was moved or copied together with its folder: MLflow keeps absolute paths of artifacts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from mlflow.utils.file_utils import local_file_uri_to_path
from sqlalchemy import Connection, text

PATHS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
)


def follow(connection: Connection, here: Path) -> None:
    """Let the artifacts of a store lie where they came along with it.

    They did if the folder of an experiment is there, or if the folder that they were in is gone. Artifacts
    that were elsewhere from the beginning are left alone.

    Args:
        connection: to the store, in a transaction.
        here: the folder of artifacts beside the store.

    Raises:
        sqlalchemy.exc.OperationalError: the store is locked, or cannot be written.
    """
    located = connection.execute(text("SELECT artifact_location FROM experiments")).scalars()
    for root in set(_left_behind(located, here)):
        for table, column in PATHS:
            connection.execute(
                text(
                    f"UPDATE {table} SET {column} = :here || substr({column}, :length) "
                    f"WHERE substr({column}, 1, :length) = :root || '/'"
                ),
                {"here": here.as_uri(), "root": root, "length": len(root) + 1},
            )


def _left_behind(located: Iterable[str | None], here: Path) -> Iterator[str]:
    """The addresses of the folders of artifacts that are `here` by now."""
    for location in located:
        if location is None or not location.startswith(("/", "file:")):
            continue
        root, _, leaf = location.rstrip("/").rpartition("/")
        path = Path(local_file_uri_to_path(root))  # type: ignore[no-untyped-call]
        if path.name != here.name or path.parent.resolve() == here.parent.resolve():
            continue
        if (here / leaf).is_dir() or not path.parent.exists():
            yield root
