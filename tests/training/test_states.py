"""The state of modules, with what torch's own `state_dict` leaves out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genloss.training import states

CPU = torch.device("cpu")


class Part(nn.Module):
    pace: Tensor
    seen: Tensor | None
    noted: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("pace", torch.ones(3), persistent=False)
        self.register_buffer("seen", None, persistent=False)
        self.register_buffer("noted", None)

    def forward(self, x: Tensor) -> Tensor:
        self.pace.mul_(1.5)
        mean = self.norm(x).mean() + x.mean()
        self.seen = mean if self.seen is None else 0.9 * self.seen + 0.1 * mean
        self.noted = torch.cat([x[:1] if self.noted is None else self.noted, x[-1:]]).detach()
        return mean


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([Part(), Part()])


def used() -> Whole:
    torch.manual_seed(0)
    module = Whole()
    for part in module.parts:
        for _ in range(3):
            part(torch.randn(4, 2))
    return module


def saved(module: nn.Module, tmp_path: Any) -> Any:
    torch.save(states.of(module, states.built(Whole())), tmp_path / "state.pt")
    return torch.load(tmp_path / "state.pt", weights_only=True)


def test_all_buffers_come_back(tmp_path: Any) -> None:
    module = used()
    again = Whole()
    states.load(again, saved(module, tmp_path), CPU)
    assert dict(again.named_buffers()).keys() == dict(module.named_buffers()).keys()
    assert len(dict(module.named_buffers())) == 2 * 6
    for name, buffer in module.named_buffers():
        assert torch.equal(again.get_buffer(name), buffer), name
        assert not again.get_buffer(name).requires_grad
    for name, parameter in module.named_parameters():
        assert torch.equal(again.get_parameter(name), parameter)
    x = torch.randn(4, 2)
    assert torch.equal(again.parts[0](x), module.parts[0](x))


def test_buffers_stay_the_same_objects() -> None:
    """Something else may hold them."""
    again = Whole()
    pace = again.parts[0].pace
    states.load(again, states.of(used(), states.built(Whole())), CPU)
    assert again.parts[0].pace is pace
    assert pace.tolist() == [1.5**3] * 3


@pytest.mark.parametrize("other", [nn.BatchNorm1d(2), nn.ModuleDict({"parts": nn.Linear(1, 1)})])
def test_another_module_is_refused(other: nn.Module) -> None:
    with pytest.raises((RuntimeError, AttributeError)):
        states.load(other, states.of(used(), {}), CPU)


class Masked(nn.Module):
    """Has a mask that its constructor computes, and a count of its calls that it does not."""

    def __init__(self, size: int = 1000) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.register_buffer("mask", torch.ones(size, size).tril(), persistent=False)
        self.register_buffer("calls", torch.zeros(()), persistent=False)


def test_what_the_constructor_computes_is_not_kept_and_noticed_if_it_is_another(tmp_path: Any) -> None:
    module = Masked()
    as_built = states.built(module)
    module.calls += 1
    state = states.of(module, as_built)
    assert state["buffers"].keys() == {"calls"}
    assert state["as_built"].keys() == {"mask"}
    torch.save(state, tmp_path / "state.pt")
    assert (tmp_path / "state.pt").stat().st_size < 10_000
    again = Masked()
    states.load(again, torch.load(tmp_path / "state.pt", weights_only=True), CPU)
    assert torch.equal(again.mask, module.mask)
    assert again.calls == 1
    with pytest.raises(RuntimeError, match="its constructor computes another buffer `mask`"):
        states.load(Masked(size=999), state, CPU)
    module.mask.data[0, 0] = 2  # which leaves no trace in torch's count of changes
    changed = states.of(module, as_built)
    assert changed["buffers"].keys() == {"mask", "calls"}
    states.load(again, changed, CPU)
    assert again.mask[0, 0] == 2


def test_a_state_of_before_has_all_buffers() -> None:
    module = Masked(3)
    module.mask.mul_(2)
    buffers = dict(module.named_buffers())
    again = Masked(3)
    states.load(again, {"state": module.state_dict(), "buffers": buffers}, CPU)
    assert torch.equal(again.mask, module.mask)
