"""Optimizers by name, fused where torch can."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from genloss.training.optimizers import UNSUPPORTED, build, classes, load_state_dict, state_dict, update

FUSED = {"adagrad", "adam", "adamw", "sgd"}


def parameters(dtype=torch.float32, device="cpu"):
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape, dtype=dtype, device=device)) for shape in ((3, 2), (2,), ())]


def step(optimizer, params):
    loss = sum((param.square() + param.sin()).sum() for param in params)
    for param, gradient in zip(params, torch.autograd.grad(loss, params), strict=True):
        param.grad = gradient
    optimizer.step()
    return loss.item()


def test_they_are_the_classes_of_torch_in_lower_case():
    known = classes()
    assert known["adam"] is torch.optim.Adam
    assert known["adamw"] is torch.optim.AdamW
    assert known["rmsprop"] is torch.optim.RMSprop
    assert list(known) == sorted(known)
    assert {"sgd", "adagrad", "nadam", "radam", "adadelta", "adamax", "rprop", "asgd"} <= set(known)
    assert not UNSUPPORTED.keys() & known.keys()
    assert all(issubclass(optimizer, torch.optim.Optimizer) for optimizer in known.values())


def test_what_is_left_out_is_there_in_torch():
    names = {name.lower() for name in vars(torch.optim)}
    assert UNSUPPORTED.keys() <= names


@pytest.mark.parametrize("name", sorted(classes().keys() - {"muon"}))
def test_each_one_trains(name):
    params = parameters()
    optimizer = build(name, params, lr=0.01)
    assert type(optimizer) is classes()[name]
    losses = [step(optimizer, params) for _ in range(20)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", sorted(classes().keys() - {"muon"}))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_another_goes_on_with_the_same_bits(name, dtype):
    params = parameters(dtype)
    optimizer = build(name, params, lr=0.01)
    for _ in range(5):
        step(optimizer, params)
    others = [nn.Parameter(param.detach().clone()) for param in params]
    other = build(name, others, lr=0.01)
    load_state_dict(other, copy.deepcopy(state_dict(optimizer)))
    for _ in range(5):
        assert step(other, others) == step(optimizer, params)


@pytest.mark.parametrize("name", sorted(classes().keys() - {"muon"}))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fused_where_torch_has_it_so(name, dtype):
    optimizer = build(name, parameters(dtype), lr=0.01)
    assert bool(optimizer.defaults.get("fused")) == (name in FUSED)


@pytest.mark.parametrize("name", sorted(FUSED))
def test_fused_does_what_the_other_does(name):
    fused, plain = parameters(torch.float64), parameters(torch.float64)
    for params, options in ((fused, {}), (plain, {"fused": False})):
        optimizer = build(name, params, lr=0.01, **options)
        for _ in range(5):
            step(optimizer, params)
    for one, other in zip(fused, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "fused"),
    [
        ({}, True),
        ({"betas": [0.5, 0.999], "weight_decay": 0.1, "amsgrad": True}, True),
        ({"fused": False}, False),
        ({"fused": True}, True),
        ({"foreach": True}, None),
        ({"foreach": False}, None),
        ({"differentiable": True}, None),
    ],
)
def test_the_user_may_say_otherwise(options, fused):
    assert build("adam", parameters(), lr=0.01, **options).defaults["fused"] is fused


def test_not_fused_where_a_parameter_cannot_be():
    complex_ones = [nn.Parameter(torch.randn(3, dtype=torch.complex64))]
    assert not build("adam", complex_ones, lr=0.01).defaults["fused"]
    with torch.device("meta"):
        assert not build("adam", [nn.Parameter(torch.empty(3))], lr=0.01).defaults["fused"]


def test_options_are_handed_on():
    optimizer = build("sgd", parameters(), lr=0.5, momentum=0.9)
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert optimizer.param_groups[0]["momentum"] == 0.9
    with pytest.raises(TypeError, match="momentun"):
        build("sgd", parameters(), momentun=0.9)


@pytest.mark.parametrize("name", sorted(classes().keys() - {"muon"}))
def test_an_update_is_a_step(name):
    ours, theirs = parameters(), parameters()
    one, other = build(name, ours, lr=0.01), build(name, theirs, lr=0.01)
    for params, take in ((ours, update(one)), (theirs, other.step)):
        for _ in range(5):
            for param in params:
                param.grad = param.detach().sin() + 0.1
            take()
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)
    assert all(param.requires_grad for param in ours)


WITHOUT_COMPILER = """
import sys
import torch
from genloss.training.optimizers import build, classes, state_dict, update

for name in sorted(classes()):
    weight = torch.nn.Parameter(torch.ones(2, 2))
    weight.grad = torch.ones(2, 2)
    optimizer = build(name, [weight], lr=0.01)
    update(optimizer)()
    assert weight.grad_fn is None and weight.ne(1).all(), name
    assert state_dict(optimizer)["param_groups"], name
assert "torch._dynamo" not in sys.modules
"""


def test_torchs_compiler_is_not_imported():
    """It takes a second, and 70 MB."""
    subprocess.run([sys.executable, "-c", WITHOUT_COMPILER], check=True)


def test_torch_is_left_as_it_was():
    method = torch.optim.Optimizer.add_param_group
    build("adam", parameters())
    with pytest.raises(ValueError, match="learning rate"):
        build("adam", parameters(), lr=-1)
    assert torch.optim.Optimizer.add_param_group is method


def test_a_state_is_torchs():
    params = parameters()
    optimizer = build("adam", params)
    step(optimizer, params)
    ours, theirs = state_dict(optimizer), optimizer.state_dict()
    assert ours["param_groups"] == theirs["param_groups"]
    assert ours["state"].keys() == theirs["state"].keys() == {0, 1, 2}
    assert all(
        ours["state"][i][key] is theirs["state"][i][key] for i in range(3) for key in theirs["state"][i]
    )


def test_an_update_calls_nothing_but_the_optimizer():
    """None of what torch wraps around it."""
    params = parameters()
    optimizer = build("adam", params)
    called = []
    optimizer.register_step_pre_hook(lambda *_: called.append("hook"))
    for take in (update(optimizer), optimizer.step):
        for param in params:
            param.grad = torch.ones_like(param)
        take()
    assert called == ["hook"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", sorted(FUSED))
def test_fused_on_the_device(name):
    params = parameters(device="cuda")
    optimizer = build(name, params, lr=0.01)
    assert optimizer.defaults["fused"]
    losses = [step(optimizer, params) for _ in range(20)]
    assert losses[-1] < losses[0]
