"""What memory a study of large data needs: its launcher's, and that of each of two workers.

The measure is private memory: what is given back when the process ends, looked at ten times a second. Pages
of the data's own files are not in it while they are unchanged: they lie in the page cache, once for all
processes.

The bound is 1 GiB for a file that is mapped, and 1 GiB more than the data in its own dtype for any other.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image

from tests.benchmarks import processes
from tests.benchmarks.processes import MEGABYTE, Program
from tests.benchmarks.results import Bound, Figure, Section

GIB = 2**30
SIZES = (0.25, 1.0, 4.0)
WORKERS = 2
ALLOWED = GIB
BLOCK = 2**24
DISTINCT = 200
"""Files with an image; the folder has links to them."""

SIDE = 64

IMAGES = """\
model: {name: autoencoder, latent_dim: 8, hidden: [64]}
objectives: {squared: {network: squared_error}}
training: {steps: 40, batch_size: 128}
evaluation: {samples: 500, metrics: [frechet_distance, precision_recall, maximum_mean_discrepancy]}
"""
ARRAY = """\
model: {name: vae, latent_dim: 8, hidden: [64]}
objectives: {elbo: {network: [gaussian_nll, gaussian_kl]}}
training: {steps: 40, batch_size: 128}
evaluation: {samples: 1000, metrics: [frechet_distance, wasserstein_distance, reconstruction_error]}
"""
TEXT = """\
model: {name: language, width: 16, layers: 1, heads: 1}
objectives: {likelihood: {network: categorical_nll}}
training: {steps: 40, batch_size: 64}
evaluation: {samples: 16, metrics: [negative_log_likelihood]}
"""


def missing() -> str | None:
    """Why this cannot be measured here, if it cannot."""
    return None if Path("/proc/self/smaps").exists() else "private memory is read from Linux's /proc"


def write_array(folder: Path, size: int) -> str:
    """uint8 images of 28 × 28 pixels in a .npy file."""
    count = size // 784
    block = np.random.default_rng(0).integers(256, size=BLOCK, dtype=np.uint8).tobytes()
    with (folder / "data.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, 28, 28)}
        np.lib.format.write_array_header_1_0(file, header)
        _fill(file.write, block, count * 784)
    return "{name: arrays, path: data/data.npy, held_out: 0.05}"


def write_text(folder: Path, size: int, *, beyond: bool = False) -> str:
    """Text of ASCII, or with some characters beyond it."""
    line = "It was the best of times, it was the worst of times.\n"
    if beyond:
        line = line.replace("It", "“It”")
    with (folder / "data.txt").open("wb") as file:
        _fill(file.write, line.encode() * 10_000, size, whole=True)
    return "{name: text, path: data/data.txt, length: 64, held_out: 0.0005}"


def write_images(folder: Path, size: int) -> str:
    """PNG files of 64 × 64 pixels in RGB, as many as have so many bytes when they are decoded."""
    generator = np.random.default_rng(0)
    files = []
    (folder / "distinct").mkdir()
    for number in range(DISTINCT):
        coarse = generator.integers(256, size=(8, 8, 3), dtype=np.uint8)
        file = folder / "distinct" / f"{number}.png"
        PIL.Image.fromarray(coarse).resize((SIDE, SIDE)).save(file)
        files.append(file)
    (folder / "images").mkdir()
    for number in range(size // (3 * SIDE * SIDE)):
        os.link(files[number % DISTINCT], folder / "images" / f"{number}.png")
    return f"{{name: image_folder, path: data/images, size: {SIDE}, held_out: 0.02}}"


def _fill(write: Callable[[bytes], object], block: bytes, size: int, *, whole: bool = False) -> None:
    for start in range(0, size, len(block)):
        write(block if whole else block[: size - start])


@dataclass(frozen=True)
class Kind:
    """A kind of data.

    Attributes:
        about: what it is.
        write: writes so many bytes of it into a folder, and gives the YAML's `data`.
        rest: of the YAML.
        is_mapped: whether its file is mapped.
    """

    about: str
    write: Callable[[Path, int], str]
    rest: str
    is_mapped: bool

    def bound(self, size: int) -> float:
        """Megabytes that a process may have."""
        return (ALLOWED + (0 if self.is_mapped else size)) / MEGABYTE


KINDS = {
    "npy": Kind("uint8 images in a .npy file", write_array, ARRAY, True),
    "text": Kind("text of ASCII", write_text, TEXT, True),
    "beyond": Kind("text with characters beyond ASCII", partial(write_text, beyond=True), TEXT, False),
    "images": Kind("a folder of images", write_images, IMAGES, True),
}


@contextmanager
def experiment(kind: Kind, size: int) -> Iterator[Path]:
    """A folder with data and `memory.yaml`."""
    with tempfile.TemporaryDirectory(prefix="genloss-benchmark-") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        data = kind.write(folder / "data", size)
        (folder / "memory.yaml").write_text(
            f"name: memory\ndata: {data}\n{kind.rest}seeds: {WORKERS}\ndevices: cpu\nworkers: {WORKERS}\n"
        )
        yield folder


def measure(kind: Kind, size: int) -> Program:
    """`genloss run` of so many bytes; its peaks are of private memory."""
    with experiment(kind, size) as folder:
        return processes.run(
            folder,
            "-m",
            "genloss",
            "run",
            "memory.yaml",
            watched=partial(processes.private, shared=folder / "data"),
        )


def sections(*, quick: bool, sizes: tuple[float, ...] = SIZES, kinds: tuple[str, ...] = ()) -> list[Section]:
    sizes = (0.05,) if quick else sizes
    section = Section(
        "Memory for large data",
        f"Peaks of private memory of `genloss run` with {WORKERS} workers, evaluation and references "
        "included. The size is that of the .npy or text file, or of a folder's images decoded to bytes. A "
        "process may have 1 GiB, and where its data is not mapped, the data's size more.",
    )
    if reason := missing():
        section.remark(f"Not measured: {reason}.")
        return [section]
    lines: list[tuple[str, Figure, Bound | None]] = []
    for name in kinds or KINDS:
        kind = KINDS[name]
        for size in sizes:
            found = measure(kind, round(size * GIB))
            bound = Bound(most=round(kind.bound(round(size * GIB))))
            what = f"{kind.about}, {size:g} GiB"
            lines += [
                (f"{what}: {role}", Figure.of([found.peaks[role]], "MB"), bound)
                for role in ("launcher", "worker")
            ]
            lines.append((f"{what}: time", Figure.of([found.seconds], "s"), None))
    section.figures(lines)
    return [section]
