"""Which store a study may be sent to.

A study's folder may come from anybody, and its study.json names a store. MLflow sends the user's name,
password or token to whatever store it is asked to open. So a store is opened only if it is a file in the
study's own working folder, or if the user names it now: in a command, in `MLFLOW_TRACKING_URI`, or in the
YAML that the study was run from, as it lies outside of the records. Credentials in an address are recorded
nowhere; they come from there as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from genloss.errors import GenlossError, RecordError, TrackingError
from genloss.experiment.source import MAPPING, from_file
from genloss.record.folder import ROOT, StudyFolder
from genloss.tracking import DEFAULT_URI, address


def store_of(
    study: StudyFolder, content: Mapping[str, Any], named: str | None = None, *, also: tuple[str, ...] = ()
) -> str:
    """The address of a study's store, relative to the folder that the study was run in.

    Args:
        study: the study.
        content: what its study.json says.
        named: by the command, which is then the store.
        also: what the command trusts besides.

    Raises:
        TrackingError: nothing but the study itself names it, or it cannot be used.
        RecordError: study.json does not say it.
    """
    recorded = content.get("tracking_uri")
    if not isinstance(recorded, str | None):
        raise RecordError(f"`{study.study}` is damaged: its `tracking_uri` is not what was written")
    base = study.working_folder or Path.cwd()
    is_here = base == Path.cwd()
    if recorded is None:
        named, recorded = named or os.environ.get(address.SETTING), DEFAULT_URI
    if named:
        uri = address.resolve(named)
        return uri if is_here else address.absolute(uri)
    recorded = address.resolve(recorded)
    wanted = _identity(recorded, base)
    for candidate in (*also, os.environ.get(address.SETTING, "")):
        with suppress(TrackingError):
            if candidate and _identity(uri := address.resolve(candidate), Path.cwd()) == wanted:
                return uri if is_here else address.absolute(uri)
    for candidate in _written(content, base):
        with suppress(TrackingError):
            if _identity(uri := address.resolve(candidate), base) == wanted:
                return uri
    path = address.path_of(recorded, base)
    if path is not None and path.resolve().is_relative_to(base.resolve()):
        return recorded
    raise TrackingError(
        f"study `{study.name}` says that it is recorded in `{address.without_secrets(recorded)}`, which "
        "nothing else here names, and so it is not opened",
        hint=f"if it is yours, add `--tracking-uri {address.without_secrets(recorded)}`, or set "
        f"`{address.SETTING}` to it",
    )


def _identity(uri: str, base: Path) -> str:
    """The same for two addresses of one store."""
    path = address.path_of(uri, base)
    return address.without_secrets(uri) if path is None else str(path.resolve())


def _written(content: Mapping[str, Any], base: Path) -> Iterator[str]:
    """What the study's YAML names now, if it is a file of this user's that lies outside of the records."""
    experiment = content.get("experiment")
    source = experiment.get("source") if isinstance(experiment, Mapping) else None
    if not isinstance(source, str) or source == MAPPING:
        return
    with suppress(OSError, ValueError, GenlossError):
        path = (base / source).resolve()
        is_own = path.is_file() and path.stat().st_uid == os.getuid()
        if is_own and not path.is_relative_to((base / ROOT).resolve()):
            uri = from_file(path).root.at("tracking", "uri").plain
            if isinstance(uri, str):
                yield uri
