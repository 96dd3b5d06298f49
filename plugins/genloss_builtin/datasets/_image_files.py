"""Finding the pictures in a folder: which there are, what is left out, and what sub-folders say of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from genloss.errors import RequestError
from genloss_builtin.datasets._files import kind_of
from genloss_builtin.datasets._pictures import NOT_READ, SUFFIXES

TRAINING = frozenset({"train", "training"})
HELD_OUT = frozenset({"test", "testing", "val", "valid", "validation"})
"""Names of sub-folders, in lower case, that are parts of the data and no classes."""

SAID = 6
"""Kinds of files left out that are told one by one."""


@dataclass
class Found:
    """The pictures in a folder and its sub-folders.

    Attributes:
        folder: where they were looked for.
        files: their paths, relative to it, in the order of their names.
        left_out: how many files are left out, by what they are.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def find(folder: Path) -> Found:
    """Looks for pictures; opens none.

    Raises:
        RequestError: there is no such folder, none is in it, or a link leads to what is not there.
    """

    def refuse(error: OSError) -> None:
        raise RequestError(f"`{error.filename}` cannot be read: {error.strerror}") from error

    if kind_of(folder, "folder") != "folder":
        raise RequestError(
            f"`{folder}` is a file, and a folder is needed",
            hint="the path is relative to the experiment's YAML",
        )
    found = Found(folder)
    seen = set()
    for where, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            raise RequestError(
                f"the folder `{where}` is a link to one that is read already",
                hint="remove the link: its images would be trained on and held out at once",
            )
        seen.add(real)
        found.left_out["hidden folder"] += sum(name.startswith(".") for name in folders)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(where) / name
            if name.startswith("."):
                found.left_out["hidden"] += 1
            elif not name.lower().endswith(SUFFIXES):
                found.left_out[path.suffix.lower() or "without a suffix"] += 1
            elif kind_of(path) == "other":
                found.left_out["no regular file (a pipe, a socket or a device)"] += 1
            else:
                found.files.append(path.relative_to(folder))
    if not found.files:
        said = "; ".join(left_out(found))
        raise RequestError(
            f"there are no images in the folder `{folder}`{f' ({said})' if said else ''}",
            hint=f"images are {', '.join(SUFFIXES)} files",
        )
    found.files.sort(key=Path.as_posix)
    return found


def left_out(*parts: Found) -> tuple[str, ...]:
    """A note of how many files are left out, by what they are."""
    counts = sum((part.left_out for part in parts), Counter[str]())
    said = [f"{count:,} {what}" for what, count in counts.most_common(SAID) if count]
    others = sum(counts.values()) - sum(count for _, count in counts.most_common(SAID))
    if others:
        said.append(f"{others:,} others")
    foreign = [suffix for suffix in NOT_READ if counts[suffix]]
    hint = f"; {', '.join(foreign)} are not read: convert them to .png or .jpg" if foreign else ""
    return (f"left out: {', '.join(said)}{hint}",) if said else ()


def parts(folder: Path, files: Sequence[Path]) -> tuple[str | None, str | None]:
    """The names of the sub-folders with the training and the held-out images, where they say so.

    Raises:
        RequestError: there are several held-out parts, or none to train on.
    """
    names = sorted({file.parts[0] for file in files if len(file.parts) > 1})
    known = {name for name in names if name.lower() in TRAINING | HELD_OUT}
    if not names or known != set(names) or any(len(file.parts) == 1 for file in files):
        return None, None
    train = [name for name in names if name.lower() in TRAINING]
    unseen = [name for name in names if name.lower() in HELD_OUT]
    if len(train) != 1 or len(unseen) > 1:
        raise RequestError(
            f"the folder `{folder}` has the parts {', '.join(f'`{name}`' for name in names)}, and it is not "
            "clear which are trained on and held out",
            hint="name the folder of training images by `path`, and the one of held-out images by `held_out`",
        )
    return train[0], unseen[0] if unseen else None


def sub_folders(found: Found) -> list[str]:
    """The names of the sub-folders that part the images, in their order; none where there are not two.

    Raises:
        RequestError: there are images in sub-folders and beside them.
    """
    names = sorted({file.parts[0] for file in found.files if len(file.parts) > 1})
    beside = [file for file in found.files if len(file.parts) == 1]
    if names and beside:
        raise RequestError(
            f"the folder `{found.folder}` has images of its own, such as `{beside[0]}`, beside the "
            f"sub-folder `{names[0]}` with images",
            hint="put all images into sub-folders, which are their labels, or none",
        )
    return names if len(names) > 1 else []


def labels(found: Found, names: Iterable[str]) -> Tensor | None:
    """The index of each file's sub-folder among those names; None where there are no names.

    Raises:
        RequestError: a file lies in none of them.
    """
    index = {name: position for position, name in enumerate(names)}
    if not index:
        return None
    for file in found.files:
        if len(file.parts) < 2 or file.parts[0] not in index:
            first = list(index)[:8]
            raise RequestError(
                f"`{found.folder / file}` lies in no sub-folder that the training images have as well",
                hint=f"theirs are {', '.join(first)}{', …' if len(index) > len(first) else ''}",
            )
    return torch.tensor([index[file.parts[0]] for file in found.files])


def require_apart(path: Path, held_out: Path) -> None:
    """Raises RequestError if one of two folders lies in the other."""
    one, other = path.resolve(), held_out.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise RequestError(
            f"of the folders `{path}` and `{held_out}` one has the other's images as well",
            hint="give two folders apart, or a share to hold out, such as 0.25",
        )
