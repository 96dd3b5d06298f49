"""`training.ema`: an average of the weights, which evaluation uses and `genloss.load` gives."""

from __future__ import annotations

from typing import Any

import torch

from genloss.record import checkpoint
from tests.training.support import NON_SATURATING, same, train, trainer, weights


def test_the_average_follows_the_weights_exponentially() -> None:
    trained = trainer(NON_SATURATING, ema=0.9, steps=5)
    path: list[dict[str, torch.Tensor]] = []
    train(trained, {step: [lambda: path.append(weights(trained))] for step in range(1, 6)})
    expected = path[0]
    for later in path[1:]:
        expected = {name: 0.9 * mean + 0.1 * later[name] for name, mean in expected.items()}
    average = trained.eval_model.state_dict()
    assert average.keys() == expected.keys()
    for name, mean in expected.items():
        torch.testing.assert_close(average[name], mean)


def test_training_itself_is_as_without_it() -> None:
    averaged, plain = trainer(ema=0.9), trainer()
    train(averaged)
    train(plain)
    assert same(weights(averaged), weights(plain))
    assert not same(averaged.eval_model.state_dict(), weights(averaged))


def test_without_it_the_weights_themselves_are_judged() -> None:
    trained = trainer()
    assert trained.eval_model is trained.model


def test_it_goes_on_from_a_checkpoint_bit_for_bit(tmp_path: Any) -> None:
    whole, first, second = (trainer(ema=0.9) for _ in range(3))
    train(whole)
    train(first, {7: [lambda: checkpoint.save(tmp_path, first.step, first.state_dict())]})
    state = checkpoint.load(tmp_path).state
    assert state is not None
    second.load_state_dict(state)
    train(second)
    assert same(second.eval_model.state_dict(), whole.eval_model.state_dict())
    assert same(weights(second), weights(whole))
