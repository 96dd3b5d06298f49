"""Whatever a data file holds, reading it ends in data or in an error that names it; nothing is written."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from genloss.errors import GenlossError, Location, PluginError
from genloss.planning.options import calling
from genloss.registry.catalogue import catalogue
from tests.faults.test_hostile_records import often

READERS = ("arrays", "idx", "image_folder", "text")


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def options_of(name: str, folder: Path) -> Mapping[str, Any]:
    """Files that the reader takes, and the options that name them."""
    example = catalogue().datasets[name].example
    assert example is not None
    options: Mapping[str, Any] = example(folder)
    return options


@pytest.mark.parametrize("name", READERS)
@often
@given(data=st.data())
def test_any_bytes_in_a_data_file(name: str, data: st.DataObject) -> None:
    definition = catalogue().datasets[name]
    with tempfile.TemporaryDirectory() as made:
        options = definition.validated(options_of(name, Path(made)))
        path = data.draw(st.sampled_from(sorted(files_of(Path(made)))))
        content = path.read_bytes()
        at = data.draw(st.integers(0, len(content)))
        strange = data.draw(st.binary(max_size=20))
        kept = data.draw(st.sampled_from([content[at:], content[at + len(strange) :], b""]))
        path.write_bytes(content[:at] + strange + kept)
        before = files_of(Path(made))
        try:
            with calling(definition, "loaded", Location("gan.yaml")):
                read = definition(**options)
                _ = [read.train[index] for index in range(2)] if not isinstance(read.train, Mapping) else read
        except GenlossError as error:
            if isinstance(error, PluginError):
                raise
        assert files_of(Path(made)) == before


def test_a_picture_that_claims_to_be_huge(tmp_path: Path) -> None:
    definition = catalogue().datasets["image_folder"]
    for index in range(12):
        Image.new("L", (8, 8)).save(tmp_path / f"{index}.png")
    content = bytearray((tmp_path / "1.png").read_bytes())
    content[16:24] = (100_000).to_bytes(4, "big") * 2
    (tmp_path / "1.png").write_bytes(content)
    with pytest.raises(GenlossError) as raised, calling(definition, "loaded", Location("gan.yaml")):
        definition(path=tmp_path)
    assert not isinstance(raised.value, PluginError)
    assert "1.png" in raised.value.message
