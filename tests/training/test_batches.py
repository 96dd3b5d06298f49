"""Batches: the order depends on the seed alone, and goes on exactly where it stopped."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from genloss.contracts.stored import Stored
from genloss.errors import DefinitionError
from genloss.training import batches as module
from genloss.training.batches import Batches, Order, gather, length, whole

CPU = torch.device("cpu")
SIZE = 23


def fields(size=SIZE):
    index = torch.arange(size)
    return {
        "x": torch.stack([index, index + 0.5], 1).double(),
        "label": index % 5,
        "pixel": (index * 3 % 256).to(torch.uint8),
        "flag": index % 2 == 0,
    }


class Items(Dataset):
    """The same as a map-style dataset, item by item."""

    def __init__(self, tensors):
        self.tensors = tensors

    def __len__(self):
        return len(self.tensors["x"])

    def __getitem__(self, index):
        return {name: tensor[index] for name, tensor in self.tensors.items()}


def stored(size=SIZE):
    """The same as it might lie in a file, in another order."""
    order = torch.arange(size).flip(0)
    kept = {name: tensor[order] for name, tensor in fields(size).items()}
    kept["x"] = (2 * kept["x"]).to(torch.int16)
    kept["label"] = kept["label"].to(torch.uint8)
    return Stored(kept, {"x": lambda x: x.double() / 2, "label": Tensor.long}, indices=order)


@pytest.fixture(params=["on the device", "moved batch by batch", "stored", "dataset"])
def data(request, monkeypatch):
    """The same data in all the ways in which it can come."""
    if request.param in ("moved batch by batch", "stored"):
        monkeypatch.setattr(module, "SMALL", 0)
    return {"stored": stored, "dataset": lambda: Items(fields())}.get(request.param, fields)()


def stream(data, *, seed=7, batch_size=5, dtype=torch.float32):
    return Batches(data, batch_size=batch_size, seed=seed, device=CPU, dtype=dtype)


def labels(batches, count):
    """The identity of the examples, batch by batch."""
    return [[int(x) for x in next(batches)["x"][:, 0]] for _ in range(count)]


class TestOrder:
    @pytest.mark.parametrize(("size", "batch_size"), [(23, 5), (20, 5), (5, 5), (7, 1), (9, 8)])
    def test_each_epoch_is_a_new_permutation_without_its_incomplete_batch(self, size, batch_size):
        order = Order(size, batch_size, seed=3)
        epochs = []
        for _ in range(4):
            epoch = [next(order).tolist() for _ in range(size // batch_size)]
            assert {len(batch) for batch in epoch} == {batch_size}
            seen = list(itertools.chain(*epoch))
            assert len(seen) == len(set(seen))
            assert set(seen) <= set(range(size))
            epochs.append(seen)
        if size > 8:
            assert len(set(map(tuple, epochs))) == 4

    def test_every_example_comes_in_the_long_run(self):
        order = Order(9, 8, seed=0)
        assert {int(index) for _ in range(30) for index in next(order)} == set(range(9))

    def test_depends_on_the_seed_alone(self):
        torch.manual_seed(0)
        first = [next(Order(23, 5, seed=3)).tolist()]
        torch.manual_seed(1)
        torch.rand(100)
        state = torch.get_rng_state()
        assert [next(Order(23, 5, seed=3)).tolist()] == first
        assert [next(Order(23, 5, seed=4)).tolist()] != first
        assert torch.equal(torch.get_rng_state(), state)

    def test_a_batch_that_the_data_cannot_fill(self):
        with pytest.raises(DefinitionError, match=r"^no batch of 6 can be drawn from 5 examples$"):
            Order(5, 6, seed=0)


class TestBatches:
    def test_all_ways_give_the_same(self, data):
        ours, plain = stream(data), stream(fields())
        for _ in range(12):
            batch, expected = next(ours), next(plain)
            assert batch.keys() == expected.keys()
            for name, tensor in expected.items():
                assert torch.equal(batch[name], tensor)
                assert batch[name].dtype == tensor.dtype

    def test_the_order_depends_on_the_seed_alone(self, data):
        assert labels(stream(data), 12) == labels(stream(data), 12)
        assert labels(stream(data), 4) != labels(stream(data, seed=8), 4)
        order = Order(SIZE, 5, seed=7)
        assert labels(stream(data), 12) == [next(order).tolist() for _ in range(12)]

    def test_what_goes_with_an_example_stays_with_it(self, data):
        batches = stream(data)
        for _ in range(9):
            batch = next(batches)
            index = batch["x"][:, 0].long()
            assert torch.equal(batch["x"][:, 1], index + 0.5)
            assert torch.equal(batch["label"], index % 5)
            assert torch.equal(batch["pixel"], (index * 3 % 256).to(torch.uint8))
            assert torch.equal(batch["flag"], index % 2 == 0)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_floats_get_the_precision_of_the_training_and_all_else_keeps_its_own(self, data, dtype):
        batch = next(stream(data, dtype=dtype))
        assert {name: tensor.dtype for name, tensor in batch.items()} == {
            "x": dtype,
            "label": torch.int64,
            "pixel": torch.uint8,
            "flag": torch.bool,
        }

    @pytest.mark.parametrize("taken", [0, 1, 3, 4, 5, 9])
    def test_goes_on_where_its_state_was_taken(self, data, taken):
        """Within an epoch of four batches, at its end and beyond."""
        original = stream(data)
        labels(original, taken)
        state = original.state_dict()
        expected = labels(original, 11)
        again = stream(data, seed=99)
        labels(again, 2)
        again.load_state_dict(state)
        assert labels(again, 11) == expected

    @pytest.mark.parametrize("group", [1, 48, 49, 3 * 48, 10**6])
    def test_goes_on_at_the_same_places_in_memory(self, data, monkeypatch, group):
        """Where a batch lies can decide last bits, so it must not depend on where a run goes on."""

        def places(batches):
            return [next(batches)["x"].storage_offset() for _ in range(9)]

        monkeypatch.setattr(module, "GROUP", group * 5)
        expected = places(stream(data))
        for taken in range(9):
            original, again = stream(data), stream(data)
            labels(original, taken)
            again.load_state_dict(original.state_dict())
            assert places(again)[: 9 - taken] == expected[taken:]

    def test_its_state_can_be_saved_as_a_checkpoint_is(self, data, tmp_path):
        original = stream(data)
        labels(original, 6)
        torch.save(original.state_dict(), tmp_path / "state.pt")
        again = stream(data)
        again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
        assert labels(again, 5) == labels(original, 5)

    def test_takes_nothing_from_the_noise(self, data):
        """Or a run that goes on, or the same data in another form, would see other noise."""
        torch.manual_seed(0)
        state = torch.get_rng_state()
        batches = stream(data)
        labels(batches, 9)
        batches.first()
        list(whole(data, 10, device=CPU, dtype=torch.float32))
        assert torch.equal(torch.get_rng_state(), state)

    def test_a_batch_may_be_changed_without_changing_the_data(self, data):
        batches = stream(data, dtype=torch.float64)
        next(batches)["x"].zero_()
        again = stream(data, dtype=torch.float64)
        assert torch.equal(next(again)["x"], next(stream(fields(), dtype=torch.float64))["x"])

    def test_the_first_batch_is_taken_from_no_stream(self, data):
        batches = stream(data)
        first = batches.first()
        assert first["x"][:, 0].tolist() == [0, 1, 2, 3, 4]
        assert first["x"].dtype == torch.float32
        assert labels(batches, 6) == labels(stream(data), 6)

    def test_a_batch_of_all(self, data):
        batches = stream(data, batch_size=SIZE)
        for epoch in labels(batches, 3):
            assert sorted(epoch) == list(range(SIZE))

    def test_a_batch_that_the_data_cannot_fill(self, data):
        with pytest.raises(DefinitionError, match="no batch of 24 can be drawn from 23 examples"):
            stream(data, batch_size=24)


class TestWhole:
    @pytest.mark.parametrize("batch_size", [1, 10, 23, 100])
    def test_has_all_examples_once_and_in_order(self, data, batch_size):
        parts = list(whole(data, batch_size, device=CPU, dtype=torch.float32))
        assert [len(part["x"]) for part in parts[:-1]] == [batch_size] * (len(parts) - 1)
        assert torch.cat([part["x"] for part in parts])[:, 0].tolist() == list(range(SIZE))
        assert torch.equal(torch.cat([part["label"] for part in parts]), fields()["label"])

    def test_gather_has_them_in_one_batch(self, data):
        everything = gather(data, device=CPU, dtype=torch.float32)
        assert everything["x"].dtype == torch.float32
        assert torch.equal(everything["x"], fields()["x"].float())
        assert torch.equal(everything["flag"], fields()["flag"])

    def test_length(self, data):
        assert length(data) == SIZE


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_order_is_the_same_on_the_device():
    device = torch.device("cuda")
    there = Batches(fields(), batch_size=5, seed=7, device=device, dtype=torch.float32)
    assert next(there)["label"].device.type == "cuda"
    here = stream(fields())
    next(here)
    assert labels(there, 9) == labels(here, 9)
