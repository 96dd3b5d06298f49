"""Distributions that are installed for one test."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
import torch

from genloss.registry import catalogue

# The same examples each time; `--hypothesis-profile=random` looks for others.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.register_profile("random", print_blob=True)
hypothesis.settings.load_profile("same")

if "PYTEST_XDIST_WORKER" in os.environ:
    # Threads that wait for work would take the cores from the tests beside.
    torch.set_num_threads(1)


def pytest_xdist_auto_num_workers() -> int | None:
    """One worker more than there are cores for `-n auto`: tests of processes mostly wait."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else (os.cpu_count() or 1) + 1


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Names a case of many bytes by its argument: the bytes say nothing, and all workers need one name."""
    return argname if isinstance(val, bytes) and len(val) > 16 else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="faults in full: 20 kills, a minute's lock …")


@pytest.fixture(scope="session", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What genloss keeps for a user is kept elsewhere."""
    with pytest.MonkeyPatch.context() as patched:
        folder = tmp_path_factory.mktemp("state")
        patched.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture
def afresh(tmp_path: Path) -> Iterator[None]:
    """Nothing that a test's plugins leave behind is there for the next."""
    catalogue._catalogue.cache_clear()
    yield
    catalogue._catalogue.cache_clear()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, afresh: None) -> Callable[..., None]:
    """Puts a distribution with an entry point on the path, as pip would."""

    def install(
        name: str,
        source: str,
        *,
        version: str = "1.0",
        entry_point: str = "plugin",
        value: str | None = None,
        requires: tuple[str, ...] = (),
    ) -> None:
        site = tmp_path / f"{name}-site"
        module = name.replace("-", "_")
        info = site / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        (site / f"{module}.py").write_text(textwrap.dedent(source))
        metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
        (info / "METADATA").write_text("\n".join(metadata) + "\n")
        (info / "entry_points.txt").write_text(f"[genloss]\n{entry_point} = {value or module}\n")
        monkeypatch.syspath_prepend(site)

    return install


@pytest.fixture
def write(tmp_path: Path, afresh: None) -> Callable[..., Path]:
    """Writes a plugin file."""

    def write(source: str, name: str = "my_losses.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return path

    return write
