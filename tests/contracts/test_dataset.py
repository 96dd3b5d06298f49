"""Datasets and the data that they return."""

import re
from pathlib import Path
from typing import Annotated

import pytest
import torch
from annotated_types import Gt
from torch.utils.data import Dataset, TensorDataset

import genloss
from genloss.contracts.definition import Option
from genloss.errors import DefinitionError

SPEC = genloss.DataSpec(event_shape=(2,), kind="points", size=4)


def data(**changes):
    fields = {
        "train": {"x": torch.arange(8.0).view(4, 2), "label": torch.arange(4)},
        "held_out": {"x": torch.ones(1, 2), "label": torch.zeros(1).long()},
    }
    return genloss.Data(SPEC, **{**fields, **changes})


class Items(Dataset[dict[str, torch.Tensor]]):
    """Examples that are made when they are asked for."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"x": torch.full((2,), float(index))}


class TestContent:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"train": {"y": torch.zeros(4, 2)}}, "the data's `train` has no `x`"),
            ({"held_out": {}}, "the data's `held_out` has no `x`"),
            ({"train": {"x": torch.zeros(5, 2)}}, "says that there are 4 training examples, and there are 5"),
            ({"held_out": {"x": torch.zeros(3, 1)}}, r"has the shape \[1\], and its spec says \[2\]"),
            (
                {"train": {"x": torch.zeros(4, 2), "label": torch.zeros(3)}},
                "the fields of the data's `train` differ in length: `x` 4, `label` 3",
            ),
            (
                {"train": TensorDataset(torch.zeros(4, 2)), "digest": "v1"},
                "an item of the data's `train` is a tuple",
            ),
        ],
    )
    def test_is_as_the_spec_says(self, changes, message):
        with pytest.raises(DefinitionError, match=message):
            data(**changes)


class TestAlphabet:
    def test_is_one_text_for_each_token(self):
        spec = genloss.DataSpec((4,), "tokens", size=2, vocabulary=3, alphabet=("a", "b", "<end>"))
        assert spec.alphabet == ("a", "b", "<end>")
        assert SPEC.alphabet is None

    @pytest.mark.parametrize(
        ("kind", "vocabulary", "message", "hint"),
        [
            ("tokens", 4, "an `alphabet` of 3 texts, and its `vocabulary` is 4$", "one text for each token"),
            ("tokens", None, "an `alphabet` of 3 texts, and its `vocabulary` is None", "0 … vocabulary - 1"),
            ("points", 3, "an `alphabet`, and its kind is `points`", "leave it out"),
        ],
    )
    def test_of_another_size_or_for_another_kind_is_refused(self, kind, vocabulary, message, hint):
        with pytest.raises(DefinitionError) as caught:
            genloss.DataSpec((4,), kind, size=2, vocabulary=vocabulary, alphabet=("a", "b", "c"))
        assert re.search(message, caught.value.message)
        assert hint in caught.value.hint


class TestSource:
    SPEC = genloss.DataSpec((2,), "points", size=4, source=True)

    def test_goes_with_each_example_of_both_parts(self):
        part = {"x": torch.zeros(4, 2), "source": torch.ones(4, 2)}
        assert genloss.Data(self.SPEC, train=part, held_out=part).spec.source
        assert not SPEC.source

    @pytest.mark.parametrize("part", ["train", "held_out"])
    @pytest.mark.parametrize("fields", [{}, {"source": torch.ones(4, 3)}])
    def test_of_another_shape_or_missing_is_refused(self, part, fields):
        whole = {"x": torch.zeros(4, 2), "source": torch.ones(4, 2)}
        parts = {"train": whole, "held_out": whole} | {part: {"x": torch.zeros(4, 2)} | fields}
        with pytest.raises(DefinitionError, match=rf"`{part}` has none of the shape \[{part}, 2\]") as caught:
            genloss.Data(self.SPEC, **parts)
        assert "`source`" in caught.value.hint


class TestClasses:
    SPEC = genloss.DataSpec((2,), "points", size=4, classes=3)

    @pytest.mark.parametrize("labels", [[0, 1, 3, 0], [-1, 0, 1, 2]])
    def test_labels_lie_among_them(self, labels):
        x = torch.zeros(4, 2)
        right, wrong = ({"x": x, "label": torch.tensor(each)} for each in ([0, 1, 2, 0], labels))
        assert genloss.Data(self.SPEC, right, right).spec.classes == 3
        for parts in ((right, wrong), (wrong, right)):
            with pytest.raises(DefinitionError, match="there are 3 classes, and the labels of its") as caught:
                genloss.Data(self.SPEC, *parts)
            assert "0 … classes - 1" in caught.value.hint


class TestDigest:
    def test_is_a_sha_256_that_does_not_change(self):
        assert data().digest == data().digest
        assert len(data().digest) == 64
        assert data(truth={"modes": torch.zeros(1, 2)}).digest == data().digest

    def test_does_not_depend_on_the_order_of_fields_or_on_memory(self):
        x = torch.tensor([[0.0, 2, 4, 6], [1, 3, 5, 7]]).T
        assert not x.is_contiguous()
        assert data(train={"label": torch.arange(4), "x": x}).digest == data().digest

    @pytest.mark.parametrize(
        "train",
        [
            {"x": torch.arange(8.0).view(4, 2)},
            {"x": torch.arange(8.0).view(4, 2), "target": torch.arange(4)},
            {"x": torch.arange(8.0).view(4, 2), "label": torch.arange(4).int()},
            {"x": torch.arange(8.0).view(4, 2).nextafter(torch.tensor(9.0)), "label": torch.arange(4)},
        ],
        ids=["a field less", "another name", "another dtype", "other values"],
    )
    def test_changes_with_the_content(self, train):
        assert data(train=train).digest != data().digest

    def test_tells_training_from_held_out_data(self):
        a, b = {"x": torch.zeros(4, 2)}, {"x": torch.ones(4, 2)}
        assert data(train=a, held_out=b).digest != data(train=b, held_out=a).digest

    def test_is_given_by_a_dataset_that_is_no_tensor(self):
        items = Items()
        assert data(train=items, digest="v1").digest == "v1"
        for part in ("train", "held_out"):
            with pytest.raises(
                DefinitionError, match="a dataset that is not a tensor must give its `digest`"
            ):
                data(**{part: items})


class TestDefinition:
    def test_is_a_function_with_options(self):
        @genloss.dataset
        def noisy(*, noise: Annotated[float, Gt(0)] = 0.1, file: Path) -> genloss.Data:
            """Points with noise.

            More about them.
            """
            return data(train={"x": torch.full((4, 2), noise)}, truth={"file": file})

        assert (noisy.name, noisy.kind, noisy.summary) == ("noisy", "dataset", "Points with noise.")
        assert noisy.options == {
            "noise": Option("noise", Annotated[float, Gt(0)], 0.1),
            "file": Option("file", Path),
        }
        loaded = noisy(**noisy.validated({"noise": 2, "file": "a.npy"}))
        assert loaded.train["x"].unique().tolist() == [2.0]
        assert loaded.truth == {"file": Path("a.npy")}

    def test_has_no_positional_parameters(self):
        def broken(noise: float = 0.1) -> genloss.Data: ...

        with pytest.raises(DefinitionError) as caught:
            genloss.dataset(broken)
        assert str(caught.value) == (
            "`noise` of dataset `broken` is not a keyword-only parameter, so no YAML can set it\n"
            "hint: options stand after `*`"
        )

    def test_has_no_option_called_name_and_no_kwargs(self):
        def named(*, name: str) -> genloss.Data: ...
        def swallowing(**options: float) -> genloss.Data: ...

        with pytest.raises(
            DefinitionError, match="has an option named `name`, a key with a meaning of its own"
        ):
            genloss.dataset(named)
        with pytest.raises(DefinitionError, match="which would swallow misspelt options"):
            genloss.dataset(swallowing)

    def test_has_a_name_that_yaml_can_bear(self):
        with pytest.raises(DefinitionError, match=r"^dataset `<lambda>` cannot bear that name\n"):
            genloss.dataset(lambda: data())

    def test_its_decorator_is_written_with_arguments_or_without(self):
        def gaussian(*, seed: int = 0) -> genloss.Data: ...

        facts = {"example": dict, "exempt": {"unseen": "a toy"}, "unavailable": "it needs a network"}
        definition = genloss.dataset(**facts)(gaussian)
        assert {name: getattr(definition, name) for name in facts} == facts
        bare = genloss.dataset(gaussian)
        assert (bare.name, bare.options.keys()) == (definition.name, definition.options.keys())
        assert (bare.example, dict(bare.exempt), bare.unavailable) == (None, {}, None)
