"""The space in which examples are compared: the data space, or the features of a small classifier.

The classifier is trained once on the training data and cached in a file, so that all runs of a study, and
later studies of the same data, use the same features.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

import genloss
from genloss.contracts.dataset import digest
from genloss.contracts.stored import SMALL
from genloss.errors import DefinitionError, RequestError

Features = Literal["auto", "classifier", "data"]
"""`data`: the flattened examples. `classifier`: the features of a `Classifier` trained on the training data.
`auto`: `classifier` for labelled images, else `data`."""

RECIPE = 1
"""Part of the file name; increase it, with the metrics' versions, when training gives other weights."""


AT_ONCE = 256
"""Number of randomly sampled examples processed at a time."""


class Classifier(nn.Module):
    """A perceptron with two hidden layers; its features are the second layer's 32 values before the ReLU.

    The features are standardised: mean 0 and variance 1 over the training data. They are few, since
    covariances are estimated from a few hundred examples.
    """

    hidden_size = 128
    feature_size = 32
    input_mean: Tensor
    input_scale: Tensor
    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, self.hidden_size, device="meta", dtype=torch.float32)
        self.second = nn.Linear(self.hidden_size, self.feature_size, device="meta", dtype=torch.float32)
        self.output = nn.Linear(self.feature_size, classes, device="meta", dtype=torch.float32)
        sizes = {
            "input_mean": inputs,
            "input_scale": 1,
            "feature_mean": self.feature_size,
            "feature_scale": self.feature_size,
        }
        for name, size in sizes.items():
            self.register_buffer(name, torch.empty(size, device="meta", dtype=torch.float32))
        # Going through the meta device draws no weights, so torch's generator is not advanced.
        self.to_empty(device="cpu")

    def features(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch features"]:
        """Return the standardised features."""
        return (self._raw_features(x) - self.feature_mean) / self.feature_scale

    def forward(self, x: Float[Tensor, "batch *event"]) -> Float[Tensor, "batch classes"]:
        """Return the logits of the classes."""
        logits: Tensor = self.output(self._raw_features(x).relu())
        return logits

    def fit(self, x: genloss.Examples, classes: Tensor, *, steps: int = 1000) -> None:
        """Train from a fixed seed with separate generators, so that the weights are reproducible."""
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for layer in (self.first, self.second, self.output):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                layer.bias.zero_()
            means = [(_plain(part).flatten(1).mean(0), len(part)) for part in x.batches()]
            self.input_mean.copy_(_weighted(means))
            # One scale for all inputs, so that a nearly constant pixel is not amplified.
            squares = [
                ((_plain(part).flatten(1) - self.input_mean).square_().mean(), len(part))
                for part in x.batches()
            ]
            self.input_scale.copy_(_weighted(squares).sqrt().clamp_min(1e-6))
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=0.3, fused=True)
        for _ in range(steps):
            batch = torch.randint(len(x), (128,), generator=generator, device="cpu")
            optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(self(_plain(x[batch])), classes[batch]))
            optimizer.step()
        with torch.no_grad():
            mean, scale = _mean_and_deviation(self._raw_features(_plain(part)) for part in x.batches())
            self.feature_mean.copy_(mean)
            self.feature_scale.copy_(scale.clamp_min(1e-6))

    def _raw_features(self, x: Tensor) -> Tensor:
        inputs = (x.flatten(1) - self.input_mean) / self.input_scale
        features: Tensor = self.second(self.first(inputs).relu())
        return features


def _plain(x: Tensor) -> Tensor:
    """Copy examples to the CPU in float32, for training whatever the caller's device and precision."""
    return x.detach().to("cpu", torch.float32, copy=True)


def _weighted(parts: list[tuple[Tensor, int]]) -> Tensor:
    """Return the overall mean from the mean and the size of each part."""
    total = sum(count for _, count in parts)
    return torch.stack([mean * (count / total) for mean, count in parts]).sum(0)


def _mean_and_deviation(parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the mean and standard deviation over all examples, given in parts."""
    found = [(part.mean(0), part.std(0), len(part)) for part in parts]
    if len(found) == 1:
        return found[0][:2]
    mean = _weighted([(of_part, count) for of_part, _, count in found])
    squares = [
        deviation.nan_to_num().square() * (count - 1) + (of_part - mean).square() * count
        for of_part, deviation, count in found
    ]
    return mean, (torch.stack(squares).sum(0) / (sum(count for *_, count in found) - 1)).sqrt()


class Reference:
    """Held-out examples in feature space, computed on demand.

    Args:
        examples: held-out examples.
        features: maps a batch of examples to features `[batch, features]`.
    """

    def __init__(self, examples: genloss.Examples, features: Callable[[Tensor], Tensor]) -> None:
        self._examples = examples
        self._features = features
        self.size = features(examples[slice(0, 1)]).shape[1]

    def __len__(self) -> int:
        return len(self._examples)

    def batches(self) -> Iterator[Tensor]:
        """Yield the features of all examples, one batch at a time."""
        return map(self._features, self._examples.batches())

    def some(self, count: int) -> Tensor:
        """Return all features, or `drawn(count)` if all would take more than 192 MiB."""
        if len(self) * self.size * 4 <= SMALL:
            parts = list(self.batches())
            return parts[0] if len(parts) == 1 else torch.cat(parts)
        return self.drawn(count)

    def drawn(self, count: int) -> Tensor:
        """Return the features of `count` randomly sampled examples, always the same ones."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(0))[:count]
        return torch.cat([self._features(self._examples[part]) for part in torch.split(order, AT_ONCE)])


def space(
    spec: genloss.DataSpec, train_labels: Tensor | None, features: Features
) -> Literal["classifier", "data"]:
    """Return the feature space to use, resolving `auto` for the data."""
    if features != "auto":
        return features
    return "classifier" if train_labels is not None and len(spec.event_shape) > 1 else "data"


def check_features(
    spec: genloss.DataSpec, train_labels: Tensor | None = None, *, features: Features = "auto"
) -> None:
    """Check that `embed` can be used with the data.

    Raises:
        RequestError: a classifier is requested, but there are no labels of at least two classes.
    """
    features = space(spec, train_labels, features)
    if features == "data":
        return
    if train_labels is None:
        raise RequestError(
            "the features of a classifier need labels, which the data does not have",
            hint="set `features: data`",
        )
    if train_labels.is_floating_point():
        raise RequestError(
            f"a classifier needs integer labels, got {train_labels.dtype}", hint="set `features: data`"
        )
    if len(torch.unique(train_labels)) < 2:
        raise RequestError(
            "all labels are the same: there is nothing to classify", hint="set `features: data`"
        )


def embed(
    samples: Float[Tensor, "samples *event"],
    held_out: genloss.Examples,
    train: genloss.Examples,
    train_labels: Tensor | None,
    cache: Path,
    features: Features,
) -> tuple[Float[Tensor, "samples features"], Reference]:
    """Return samples and held-out examples in the space chosen by `features`, on the samples' device.

    Raises:
        DefinitionError: the samples do not have the shape of the data.
        RequestError: a classifier is requested, but there are no labels of at least two classes.
    """
    if samples.shape[1:] != held_out.shape[1:]:
        raise DefinitionError(
            f"the model's samples have shape {list(samples.shape[1:])}, but the data's examples "
            f"{list(held_out.shape[1:])}"
        )
    if features == "auto":
        features = "classifier" if train_labels is not None and len(train.shape) > 2 else "data"
    samples = samples.detach()
    if features == "data":
        dtype = held_out.dtype if held_out.dtype.is_floating_point else torch.float32

        def flat(x: Tensor) -> Tensor:
            return x.to(samples.device).flatten(1).to(dtype)

        return flat(samples), Reference(held_out, flat)
    if train_labels is None:
        raise RequestError(
            "the features of a classifier need labels, which the data does not have",
            hint="set `features: data`",
        )
    classifier = trained_classifier(train, train_labels, cache).to(samples.device)

    def classified(x: Tensor) -> Tensor:
        with torch.no_grad():
            return classifier.features(x.to(samples.device).float())

    return classified(samples), Reference(held_out, classified)


def trained_classifier(x: genloss.Examples, labels: Tensor, cache: Path) -> Classifier:
    """Return the classifier of the data, on the CPU: read from `cache`, or trained and written there.

    If several processes need it, one trains and the others wait. A damaged file is replaced.

    Raises:
        RequestError: the labels are not integers of at least two classes.
    """
    if labels.is_floating_point() or labels.shape != (len(x),):
        raise RequestError(
            f"a classifier needs one integer label per example, got {list(labels.shape)} of {labels.dtype} "
            f"for {len(x)} examples",
            hint="set `features: data`",
        )
    content = hashlib.sha256(f"{x.digest} {digest({'label': labels})}".encode()).hexdigest()
    file = cache / f"classifier-{RECIPE}-{content[:32]}.safetensors"
    classifier = _read(file)
    if classifier is None:
        cache.mkdir(parents=True, exist_ok=True)
        with file.with_suffix(".lock").open("w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed or the process dies
            classifier = _read(file)
            if classifier is None:
                classifier = _train(x, labels)
                _write(classifier, file)
    return classifier


def _train(x: genloss.Examples, labels: Tensor) -> Classifier:
    # Always on the CPU, in float32 and with gradients, whatever the caller uses.
    with torch.inference_mode(False), torch.enable_grad():
        names, classes = torch.unique(labels.detach().to("cpu", copy=True), return_inverse=True)
        if len(names) < 2:
            raise RequestError(
                "all labels are the same: there is nothing to classify", hint="set `features: data`"
            )
        classifier = Classifier(math.prod(x.shape[1:]), len(names))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # the number of threads affects the order of sums, and so the last bits
        try:
            classifier.fit(x, classes)
        finally:
            torch.set_num_threads(threads)
    return classifier.requires_grad_(False)


def _write(classifier: Classifier, file: Path) -> None:
    state = classifier.state_dict()
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_bytes(save(state, metadata={"sha256": digest(state)}))
    unfinished.replace(file)


def _read(file: Path) -> Classifier | None:
    """Return the classifier in a file, or None if the file is missing, damaged or changed."""
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return None
    if metadata.get("sha256") != digest(state):
        return None
    classifier = Classifier(len(state["input_mean"]), len(state["output.bias"]))
    classifier.load_state_dict(state)
    return classifier.requires_grad_(False)
