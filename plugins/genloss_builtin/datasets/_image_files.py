"""Find the image files in a folder: which are read, which are left out, and what the sub-folders mean."""

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
"""Lower-case names of sub-folders that are splits of the data, not classes."""

SAID = 6
"""Maximum number of kinds of left-out files that are listed individually."""


@dataclass
class Found:
    """The image files in a folder and its sub-folders.

    Attributes:
        folder: the folder searched.
        files: paths relative to it, sorted by name.
        left_out: number of files left out, by kind.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def find(folder: Path) -> Found:
    """Find image files without opening them.

    Raises:
        RequestError: the folder does not exist or holds no images, or a link is broken.
    """

    def refuse(error: OSError) -> None:
        raise RequestError(f"`{error.filename}` cannot be read: {error.strerror}") from error

    if kind_of(folder, "folder") != "folder":
        raise RequestError(
            f"`{folder}` is a file; expected a folder",
            hint="the path is relative to the experiment's YAML",
        )
    found = Found(folder)
    seen = set()
    for where, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            raise RequestError(
                f"the folder `{where}` is a link to a folder that is already read",
                hint="remove the link: its images could be both trained on and held out",
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
                found.left_out["not a regular file (a pipe, a socket or a device)"] += 1
            else:
                found.files.append(path.relative_to(folder))
    if not found.files:
        said = "; ".join(left_out(found))
        raise RequestError(
            f"no images found in the folder `{folder}`{f' ({said})' if said else ''}",
            hint=f"images are {', '.join(SUFFIXES)} files",
        )
    found.files.sort(key=Path.as_posix)
    return found


def left_out(*parts: Found) -> tuple[str, ...]:
    """Return a note of how many files are left out, by kind."""
    counts = sum((part.left_out for part in parts), Counter[str]())
    said = [f"{count:,} {what}" for what, count in counts.most_common(SAID) if count]
    others = sum(counts.values()) - sum(count for _, count in counts.most_common(SAID))
    if others:
        said.append(f"{others:,} others")
    foreign = [suffix for suffix in NOT_READ if counts[suffix]]
    hint = f"; {', '.join(foreign)} are not read: convert them to .png or .jpg" if foreign else ""
    return (f"left out: {', '.join(said)}{hint}",) if said else ()


def parts(folder: Path, files: Sequence[Path]) -> tuple[str | None, str | None]:
    """Return the names of the training and held-out sub-folders, where the folder is split that way.

    Raises:
        RequestError: there are several held-out sub-folders, or not exactly one training sub-folder.
    """
    names = sorted({file.parts[0] for file in files if len(file.parts) > 1})
    known = {name for name in names if name.lower() in TRAINING | HELD_OUT}
    if not names or known != set(names) or any(len(file.parts) == 1 for file in files):
        return None, None
    train = [name for name in names if name.lower() in TRAINING]
    unseen = [name for name in names if name.lower() in HELD_OUT]
    if len(train) != 1 or len(unseen) > 1:
        raise RequestError(
            f"the folder `{folder}` has the parts {', '.join(f'`{name}`' for name in names)}; cannot tell "
            "which one to train on and which one to hold out",
            hint="set `path` to the folder of training images and `held_out` to that of held-out images",
        )
    return train[0], unseen[0] if unseen else None


def sub_folders(found: Found) -> list[str]:
    """Return the sorted names of the sub-folders that divide the images; empty if fewer than two.

    Raises:
        RequestError: there are images both in sub-folders and next to them.
    """
    names = sorted({file.parts[0] for file in found.files if len(file.parts) > 1})
    beside = [file for file in found.files if len(file.parts) == 1]
    if names and beside:
        raise RequestError(
            f"the folder `{found.folder}` has images of its own, such as `{beside[0]}`, next to the "
            f"sub-folder `{names[0]}` with images",
            hint="put either all images into sub-folders, which become their labels, or none",
        )
    return names if len(names) > 1 else []


def labels(found: Found, names: Iterable[str]) -> Tensor | None:
    """Return the index of each file's sub-folder in `names`, or None if `names` is empty.

    Raises:
        RequestError: a file is in none of these sub-folders.
    """
    index = {name: position for position, name in enumerate(names)}
    if not index:
        return None
    for file in found.files:
        if len(file.parts) < 2 or file.parts[0] not in index:
            first = list(index)[:8]
            raise RequestError(
                f"`{found.folder / file}` is not in one of the sub-folders of the training images",
                hint=f"these are {', '.join(first)}{', …' if len(index) > len(first) else ''}",
            )
    return torch.tensor([index[file.parts[0]] for file in found.files])


def require_apart(path: Path, held_out: Path) -> None:
    """Raise RequestError if one of two folders contains the other."""
    one, other = path.resolve(), held_out.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise RequestError(
            f"the folders `{path}` and `{held_out}` overlap",
            hint="give two separate folders, or a share to hold out, such as 0.25",
        )
