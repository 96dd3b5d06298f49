"""Running a plugin file with imports of the modules next to it.

Its folder comes first for its own `import` statements and for those of its neighbours, and for nobody else's:
Python's import path stays as it is, and two plugins in two folders may each have a `utils.py`. Nothing is
imported that `code.py` has not read, so that what runs is what was digested and recorded.
"""

from __future__ import annotations

import builtins
import hashlib
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from genloss.errors import CalledWhileLoading
from genloss.registry.code import INIT, Code
from genloss.registry.kinds import HOOKS

_plugins: dict[str, Code] = {}
"""The code of plugin files that were run, by the names of their modules, and of their neighbours' package."""


def load(code: Code) -> ModuleType:
    """Run a plugin file."""
    if code.path.suffix != ".py":
        raise ImportError("not a Python file")
    path = hashlib.sha256(str(code.path).encode()).hexdigest()[:6]
    name = f"genloss_plugin_{re.sub(r'[^0-9A-Za-z_]', '_', code.path.stem)}_{code.version}_{path}"
    package = f"{name}_beside"
    _forget(name, package)
    _plugins[name] = _plugins[package] = code
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    around = ModuleType(package, "What lies beside a plugin file.")
    around.__path__ = []
    sys.modules[package] = around
    own = next(iter(code.files))
    spec = spec_from_file_location(name, code.path, loader=_Loader(code, own, package))
    assert spec is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)  # type: ignore[union-attr]
    except CalledWhileLoading:
        # A script that names itself as its plugin: what stands before `genloss.run` is the plugin.
        if not vars(module).keys() & set(HOOKS):
            _forget(name, package)
            raise
    except BaseException:  # also `sys.exit` and Ctrl-C: a module that is half loaded is not kept
        _forget(name, package)
        raise
    return module


def files(module: str) -> tuple[str, ...]:
    """The files of the plugin that a module belongs to; none if it is not a plugin file's."""
    code = _plugins.get(module.partition(".")[0])
    return () if code is None else tuple(str(code.folder / name) for name in code.files)


def _forget(name: str, package: str) -> None:
    for each in [each for each in sys.modules if each in (name, package) or each.startswith(f"{package}.")]:
        del sys.modules[each]


@dataclass(frozen=True)
class _Import:
    """The built-in `__import__` for the modules of a plugin."""

    code: Code
    package: str

    def __call__(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if level or not _is_package(self.code, name.partition(".")[0]):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        try:
            module = builtins.__import__(f"{self.package}.{name}", globals, locals, fromlist or (), 0)
        except ModuleNotFoundError as error:
            if error.name is None or not error.name.startswith(f"{self.package}."):
                raise
            missing = error.name.removeprefix(f"{self.package}.")
            raise ModuleNotFoundError(
                f"No module named {missing!r} in {str(self.code.folder)!r}", name=missing
            ) from None
        return module if fromlist else sys.modules[f"{self.package}.{name.partition('.')[0]}"]


def _is_package(code: Code, top: str) -> bool:
    """Return whether a name is that of a module or package beside the plugin file."""
    own, *others = code.files
    return any(name.partition("/")[0] in (top, f"{top}.py") for name in others if name != own)


class _Finder(MetaPathFinder):
    """Finds the neighbours of plugin files, by names that are unique in the process."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the contract's
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        package, _, dotted = fullname.partition(".")
        code = _plugins.get(package)
        if code is None or not dotted:
            return None
        name = dotted.replace(".", "/")
        for file in (f"{name}/{INIT}", f"{name}.py"):
            if file in code.files:
                inside = [str(code.folder / name)] if file.endswith(f"/{INIT}") else None
                return spec_from_file_location(
                    fullname,
                    code.folder / file,
                    loader=_Loader(code, file, package),
                    submodule_search_locations=inside,
                )
        if any(file.startswith(f"{name}/") for file in code.files):
            spec = ModuleSpec(fullname, None, is_package=True)
            spec.submodule_search_locations = [str(code.folder / name)]
            return spec
        # No other finder may: it would be neither digested nor recorded.
        raise ModuleNotFoundError(f"no `import` statement names {dotted!r}", name=fullname)


@dataclass(frozen=True)
class _Loader(Loader):
    """Runs a file as it was read: what Python keeps compiled may be of an earlier version."""

    code: Code
    file: str
    package: str

    def create_module(self, spec: ModuleSpec) -> None:  # noqa: ARG002 - Python's own way
        return None

    def exec_module(self, module: ModuleType) -> None:
        path = Path(self.code.folder / self.file)
        importer = _Import(self.code, self.package)
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": importer}
        exec(compile(self.code.files[self.file], path, "exec", dont_inherit=True), vars(module))
