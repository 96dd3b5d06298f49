"""The source code of a plugin, read without running it: a file and the local modules that it imports."""

from __future__ import annotations

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.machinery import PathFinder
from pathlib import Path, PurePosixPath

from genloss.errors import ExperimentError, RecordError

SHOWN = 12
"""Digits of a digest that are shown: enough to see that it is another."""

INIT = "__init__.py"


@dataclass(frozen=True, eq=False)
class Code:
    """A plugin file with the modules beside it that it imports, directly or through one another.

    Attributes:
        path: of the plugin file, absolute.
        files: what each file said when it was read, by its path relative to the plugin file's folder; the
            plugin file is the first.
    """

    path: Path
    files: Mapping[str, bytes]

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of all of it."""
        contents = list(self.files.values())
        if len(contents) == 1:
            return hashlib.sha256(contents[0]).hexdigest()
        return digest_of(self.files)

    @property
    def version(self) -> str:
        """The start of the digest."""
        return self.digest[:SHOWN]

    @property
    def folder(self) -> Path:
        return self.path.parent

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and (self.path, self.digest) == (other.path, other.digest)

    def __hash__(self) -> int:
        return hash((self.path, self.digest))

    def write(self, folder: Path) -> list[str]:
        """Write a copy of all files; return their paths, relative to the folder."""
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return list(self.files)


def read(path: str | Path) -> Code:
    """The code of a plugin file.

    Raises:
        ExperimentError: there is no such file, or it cannot be read.
    """
    path = Path(path).resolve()
    try:
        return Code(path, _closure(path, path.parent, _beside(path), packages=True))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise ExperimentError(f"there is no plugin file `{path}`", subject=str(path)) from None
    except OSError as error:
        raise ExperimentError(
            f"the plugin file `{path}` cannot be read: {error.strerror}", subject=str(path)
        ) from error


def stored(folder: Path, names: Sequence[str]) -> Code:
    """The code of which a folder holds a copy, as `Code.write` made it.

    Args:
        folder: of the copy.
        names: of its files, the plugin file's first.

    Raises:
        RecordError: a file is missing, or would lie elsewhere.
    """
    files = {}
    for name in names:
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or pure.suffix != ".py":
            raise RecordError(f"`{folder}` has no code named {name!r}")
        try:
            files[name] = (folder / pure).read_bytes()
        except OSError as error:
            raise RecordError(f"`{folder / pure}` cannot be read: {error.strerror}") from error
    return Code((folder / names[0]).resolve(), files)


def of_module(name: str, *, listing: str = "") -> str:
    """The digest of a module that has been imported, and of what it imports from its own distribution.

    The packages around it are part of that where something is imported from them by name.

    Args:
        name: the module's.
        listing: the module that lists what a plugin offers: another loss in it makes no other code of those
            that stand there already.
    """
    top = sys.modules[name.partition(".")[0]]
    file = Path(str(sys.modules[name].__file__))
    roots = [Path(root) for root in getattr(top, "__path__", [])]
    folder = next((root.parent for root in roots if file.is_relative_to(root)), file.parent)
    lists = Path(str(sys.modules[listing].__file__)) if listing not in ("", name) else None
    return _of_file(file, folder, top.__name__, lists)


@cache
def _of_file(file: Path, folder: Path, top: str, listing: Path | None) -> str:
    """Once in a process: that goes on with what it has imported, whatever the file says later."""
    files = _closure(file, folder, lambda dotted: dotted.partition(".")[0] == top, packages=False)
    if listing is not None and listing.is_relative_to(folder):
        files.pop(listing.relative_to(folder).as_posix(), None)
    return digest_of(files)[:SHOWN]


def of_package(folder: Path) -> str:
    """The digest of all Python files in a folder."""
    paths = sorted(folder.rglob("*.py"))
    return digest_of({path.relative_to(folder).as_posix(): path.read_bytes() for path in paths})[:SHOWN]


def digest_of(files: Mapping[str, bytes]) -> str:
    """The SHA-256 of files, whatever their order."""
    content = hashlib.sha256()
    for name, data in sorted(files.items()):
        content.update(f"{name}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    return content.hexdigest()


def _closure(
    start: Path, folder: Path, accepts: Callable[[str], bool], *, packages: bool
) -> dict[str, bytes]:
    """A file and all that it imports from a folder, in the order in which it was found.

    Args:
        start: the file.
        folder: what names of modules are relative to.
        accepts: whether a module's name may stand for a file of the folder.
        packages: whether to take what Python runs on the way to a module, too: the packages around it.
    """
    found: dict[str, bytes] = {}
    waiting = [start]
    while waiting:
        file = waiting.pop(0)
        name = file.relative_to(folder).as_posix()
        if name in found:
            continue
        found[name] = file.read_bytes()
        for dotted, members in _imports(found[name], _package(name)):
            if accepts(dotted):
                waiting += _files(dotted, members, folder, packages=packages)
    return found


def _package(name: str) -> str:
    """The package that the module in a file belongs to."""
    return ".".join(PurePosixPath(name).parent.parts)


def _imports(content: bytes, package: str) -> Iterator[tuple[str, Sequence[str]]]:
    """The modules that a source names in `import` statements, wherever they stand, each with the names that
    are taken from it."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):  # whoever runs it is told
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            around = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            dotted = ".".join([*filter(None, around), *([node.module] if node.module else [])])
            if dotted:
                yield dotted, [alias.name for alias in node.names]


def _files(dotted: str, members: Sequence[str], folder: Path, *, packages: bool) -> Iterator[Path]:
    """The files of a module, and of those of its members that are modules."""
    parts = dotted.split(".")
    if packages:
        for end in range(1, len(parts)):
            init = folder.joinpath(*parts[:end], INIT)
            if init.is_file():
                yield init
    modules = [file for member in members if (file := _module(folder.joinpath(*parts, member)))]
    own = _module(folder.joinpath(*parts))
    if own is not None and (packages or len(modules) < max(1, len(members))):
        yield own
    yield from modules


def _module(path: Path) -> Path | None:
    """The file of a module, given as a path without its suffix."""
    candidates = (path / INIT, path.with_name(f"{path.name}.py"))
    return next((file for file in candidates if file.is_file()), None)


def _beside(plugin: Path) -> Callable[[str], bool]:
    """Return whether a plugin file finds a module beside it, rather than where Python looks else.

    Python's own modules and genloss never are; nor is the plugin file itself, which may bear the name of the
    library that it wraps; nor a mere folder, where a package of its name is installed.
    """
    folder = plugin.parent
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}

    def beside(dotted: str) -> bool:
        top = dotted.partition(".")[0]
        if top in sys.stdlib_module_names or top == "genloss" or folder in installed:
            return False
        file = _module(folder / top)
        if file is not None:
            return file != plugin
        if not (folder / top).is_dir():
            return False
        spec = PathFinder.find_spec(top)
        return spec is None or spec.origin is None

    return beside
