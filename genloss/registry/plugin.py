"""Plugins, loaded so that a broken one affects nothing else.

Each plugin gets a pluggy manager of its own. One that cannot be loaded is reported with its distribution,
version and cause, and offers nothing. What a plugin prints or warns of is kept from the output, and reported.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from genloss.errors import FOREIGN, CalledWhileLoading, DefinitionError, GenlossError, told
from genloss.registry import hookspecs
from genloss.registry.code import Code
from genloss.registry.kinds import HOOKS, KINDS
from genloss.version import __version__

if TYPE_CHECKING:
    from genloss.contracts.definition import Definition

GROUP = "genloss"


_loading: list[str] = []
"""The sources of plugins that are being loaded now."""


def refuse_while_loading(call: str) -> None:
    """Raise where it is a plugin that calls, as it is loaded.

    Raises:
        CalledWhileLoading: it is.
    """
    if _loading:
        raise CalledWhileLoading(f"it calls `{call}` while it is loaded")


@dataclass
class Plugin:
    """A plugin that was found: an installed distribution's entry point, or a file.

    Attributes:
        name: the distribution's name, or the file's; what stands before the colon in `distribution:name`.
        version: the distribution's version, or the start of the SHA-256 of the file and its neighbours.
        source: the module or the path that it is loaded from.
        requires: what the distribution requires, as its metadata say it.
        hooks: those that it implements, once it has been registered.
        import_seconds: how long its import took, with all that it imports first.
        error: why it is broken, if it is.
        hint: what would mend it, where that is known.
        notes: what it did while it was loaded, and should not: printing, warning.
        offers: what it offers, by kind, once its hooks have been called.
        code: of a file, what is run.
    """

    name: str
    version: str
    source: str
    load: Callable[[], ModuleType] = field(repr=False)
    requires: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    import_seconds: float | None = None
    error: str | None = None
    hint: str | None = None
    notes: list[str] = field(default_factory=list)
    offers: dict[str, list[Definition]] = field(default_factory=dict)
    code: Code | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def problem(self) -> str:
        """Why it is broken, and what would mend it, in one line; empty if it works."""
        return "; ".join(part for part in (self.error, self.hint) if part)

    def register(self) -> None:
        """Import the module, once, and looks at its hooks without calling them; an error ends in `error`."""
        if self.import_seconds is None:
            self._isolated(self._register)

    def collect(self) -> None:
        """Call the hooks and fills `offers`; an error ends in `error`, and nothing is offered."""
        self._isolated(self._collect)

    def _isolated(self, step: Callable[[], None]) -> None:
        if self.error is not None:
            return
        _loading.append(self.source)
        try:
            with _kept_quiet(self.notes):
                step()
        except CalledWhileLoading as refusal:
            self.error = str(refusal)
            self.hint = 'put the call behind `if __name__ == "__main__":`'
        except GenlossError as error:
            self.error, self.hint = _one_line(error.message), error.hint
        except FOREIGN as error:
            self.error = _one_line(told(error)) + _place(error)
        finally:
            _loading.pop()

    def _register(self) -> None:
        self._check_version()
        began = time.perf_counter()
        module = self.load()
        self.import_seconds = time.perf_counter() - began
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._manager.register(module)
        for name, value in vars(module).items():
            if not name.startswith("genloss_") or isinstance(value, type | ModuleType):
                continue
            if name not in HOOKS and callable(value):
                raise DefinitionError(f"`{name}` is not a hook of genloss", hint=_nearest_hook(name))
            if name in HOOKS and not hasattr(value, f"{hookspecs.PROJECT}_impl"):
                raise DefinitionError(f"`{name}` is not decorated with `@genloss.hookimpl`")
        self._manager.check_pending()
        self.hooks = tuple(hook.name for hook in self._manager.get_hookcallers(module) or ())

    def _check_version(self) -> None:
        """Raise if the distribution requires another version of genloss than this."""
        from packaging.requirements import InvalidRequirement, Requirement
        from packaging.utils import canonicalize_name

        for said in self.requires:
            try:
                requirement = Requirement(said)
            except InvalidRequirement:
                continue  # whoever installs it is told
            if canonicalize_name(requirement.name) != GROUP:
                continue
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            if not requirement.specifier.contains(__version__, prereleases=True):
                raise DefinitionError(
                    f"it needs genloss {requirement.specifier}, and this is genloss {__version__}",
                    hint=f"install that genloss, or a version of `{self.name}` for this one",
                )

    def _collect(self) -> None:
        offers: dict[str, list[Definition]] = {}
        for kind, hook in zip(KINDS, HOOKS, strict=True):
            definitions = []
            # The manager's own call would drop a hook's None.
            for implementation in getattr(self._manager.hook, hook).get_hookimpls():
                definitions += [_definition(kind, item) for item in _items(kind, implementation.function())]
            names = [definition.name for definition in definitions]
            for name in names:
                if names.count(name) > 1:
                    raise DefinitionError(f"it offers `{name}` twice among its {kind}")
            offers[kind] = definitions
        self.offers = offers


def _nearest_hook(name: str) -> str:
    # The prefix that all have would make any two of them look alike.
    near = difflib.get_close_matches(name.removeprefix("genloss_"), KINDS, n=1)
    if near:
        return f"did you mean `genloss_{near[0]}`?"
    return "the hooks are " + ", ".join(f"`{hook}`" for hook in HOOKS)


@contextlib.contextmanager
def _kept_quiet(notes: list[str]) -> Iterator[None]:
    """Note what is printed and warned of, so that no plugin writes between a command's results.

    No warning becomes an error here, whatever the filters say: it would break a plugin that works.
    """
    received = io.BytesIO()
    printed = io.TextIOWrapper(received, encoding="utf-8", errors="backslashreplace", write_through=True)
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            for for_authors in (DeprecationWarning, PendingDeprecationWarning, ImportWarning):
                warnings.simplefilter("ignore", for_authors)
            before = list(warnings.filters)
            yield
            added = [each for each in warnings.filters if each not in before]
        _filter_again(added)
    finally:
        if text := received.getvalue().decode(errors="replace").strip():
            notes.append(f"printed `{_one_line(text)}`")
        notes += [f"warned `{w.category.__name__}: {_one_line(str(w.message))}`" for w in caught]


def _filter_again(filters: Iterable[Any]) -> None:
    """Let the warning filters stay that libraries set at import, but none for all warnings whatsoever."""
    for action, message, category, module, line in reversed(list(filters)):
        if message is not None or module is not None or category is not Warning:
            patterns = [pattern.pattern if pattern is not None else "" for pattern in (message, module)]
            warnings.filterwarnings(action, patterns[0], category, patterns[1], line)


def _one_line(text: str, length: int = 300) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _place(error: BaseException) -> str:
    """Where in the plugin an error arose, as far as its traceback tells."""
    machinery = (importlib.__path__[0], pluggy.__path__[0], Path(__file__).parent)
    frames = [
        (file, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<")
        and not any((file := Path(frame.filename)).is_relative_to(folder) for folder in machinery)
    ]
    if not frames or isinstance(error, SyntaxError):  # which tells its place itself
        return ""
    module = frames[0][0]
    own = module.parent if module.name == "__init__.py" else module
    file, line = [(file, line) for file, line in frames if file.is_relative_to(own)][-1]
    return f" ({file.name}, line {line})"


def _items(kind: str, result: Any) -> Iterable[Any]:
    """What a hook gives, one by one."""
    if isinstance(result, Iterable) and not isinstance(result, str | bytes | Mapping):
        return result
    given = "nothing" if result is None else _one_line(repr(result), 80)
    raise DefinitionError(
        f"`genloss_{kind}` returns {given}, and should return {kind}",
        hint="let it `yield` each, or return a list of them",
    )


def _named(item: Any) -> str:
    """A function or class by its name, anything else as Python shows it."""
    if isinstance(item, type):
        return f"the class `{item.__name__}`"
    return f"the function `{item.__name__}`" if isinstance(item, FunctionType) else _one_line(repr(item), 80)


def _definition(kind: str, item: Any) -> Definition:
    from genloss.contracts.dataset import DatasetDefinition
    from genloss.contracts.loss import Loss
    from genloss.contracts.metric import MetricDefinition
    from genloss.contracts.model import ModelDefinition

    if kind == "models":
        return ModelDefinition(item)
    expected: type[Definition] = {
        "losses": Loss,
        "datasets": DatasetDefinition,
        "metrics": MetricDefinition,
    }[kind]
    if not isinstance(item, expected):
        raise DefinitionError(
            f"`genloss_{kind}` yields {_named(item)}, which was not made by `@genloss.{expected.kind}`",
            hint=f"put `@genloss.{expected.kind}` above it"
            if isinstance(item, type | FunctionType)
            else None,
        )
    return item
