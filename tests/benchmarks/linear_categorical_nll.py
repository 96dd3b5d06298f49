"""What `linear_categorical_nll` costs: against `categorical_nll` on the materialised logits, and torch's own.

    python -m tests.benchmarks.linear_categorical_nll [--device cuda]

Each is measured in a fresh process, on one thread: its time, and its peak of memory above the inputs, for the
value and the gradients of hidden features and weight. On the CPU the peak is that of the process's resident
memory, as the operating system has it; on CUDA, that of the memory allocated.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from genloss_builtin.losses.categorical import categorical_nll, linear_categorical_nll

TOKENS, FEATURES, VOCABULARY = 2048, 256, 32_000
ROUNDS = 3
MEGABYTE = 10**6

Function = Callable[[Tensor, Tensor, Tensor], Tensor]


def materialised(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return categorical_nll(logits=hidden @ weight.T, targets=targets)


def linear(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    return linear_categorical_nll(hidden=hidden, output_weight=weight, targets=targets)


def functions() -> dict[str, Function]:
    """What is compared, by name."""
    found: dict[str, Function] = {"categorical_nll": materialised, "linear_categorical_nll": linear}
    if hasattr(torch.nn, "LinearCrossEntropyOptions"):  # torch ≥ 2.13
        options = torch.nn.LinearCrossEntropyOptions()
        found["torch"] = partial(F.linear_cross_entropy, reduction="none", options=options)
    return found


def measure(name: str, device: str) -> dict[str, float]:
    """The megabytes above the inputs and the median of the seconds, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    function = functions()[name]

    def inputs(tokens: int, features: int, vocabulary: int) -> tuple[Tensor, Tensor, Tensor]:
        # Made in place: the process has then never held more than them.
        hidden = torch.empty(tokens, features, device=device).normal_().requires_grad_()
        weight = torch.empty(vocabulary, features, device=device).normal_(std=features**-0.5).requires_grad_()
        return hidden, weight, torch.randint(vocabulary, (tokens,), device=device)

    def run(hidden: Tensor, weight: Tensor, targets: Tensor) -> None:
        torch.autograd.grad(function(hidden, weight, targets).sum(), (hidden, weight))
        if device == "cuda":
            torch.cuda.synchronize()

    run(*inputs(8, 8, 8))  # loads what torch loads when it is first used
    given = inputs(TOKENS, FEATURES, VOCABULARY)
    before = peak(device)
    run(*given)
    above = peak(device) - before
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        run(*given)
        seconds.append(time.perf_counter() - begin)
    return {"megabytes": above / MEGABYTE, "seconds": statistics.median(seconds)}


def peak(device: str) -> int:
    """The most memory so far, in bytes."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def compare(device: str = "cpu") -> dict[str, dict[str, float]]:
    """`measure` of each, in a process of its own."""
    found = {}
    for name in functions():
        command = [sys.executable, __file__, "--device", device, "--only", name]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        found[name] = json.loads(result.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--only", choices=functions(), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(measure(arguments.only, arguments.device)))
        return
    found = compare(arguments.device)
    base = found["categorical_nll"]
    print(f"{TOKENS:,} tokens, {FEATURES} features, {VOCABULARY:,} words, float32, {arguments.device}")
    for name, one in found.items():
        memory, seconds = one["megabytes"], one["seconds"]
        print(
            f"{name:24} {memory:5.0f} MB above the inputs ({memory / base['megabytes']:.3f}), "
            f"{seconds:.2f} s ({seconds / base['seconds']:.2f})"
        )


if __name__ == "__main__":
    main()
