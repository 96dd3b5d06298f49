import torch

from genloss_builtin.losses.vector_quantisation import codebook, commitment


def test_one_value_two_gradients():
    z_e, z_q = torch.randn(4, 6, 3, requires_grad=True), torch.randn(4, 6, 3, requires_grad=True)
    torch.testing.assert_close(codebook(z_e, z_q), (z_e - z_q).square().sum((1, 2)))
    torch.testing.assert_close(commitment(z_e, z_q), codebook(z_e, z_q))
    of_codebook = torch.autograd.grad(codebook(z_e, z_q).sum(), (z_e, z_q), allow_unused=True)
    of_commitment = torch.autograd.grad(commitment(z_e, z_q).sum(), (z_e, z_q), allow_unused=True)
    assert of_codebook[0] is None
    assert of_commitment[1] is None
    torch.testing.assert_close(of_codebook[1], -of_commitment[0])


def test_the_sum_does_not_grow_with_the_batch():
    z_e, z_q = torch.randn(2, 4, 6, 3)
    for loss in (codebook, commitment):
        torch.testing.assert_close(
            loss(z_e, z_q).mean(), loss(z_e.repeat(3, 1, 1), z_q.repeat(3, 1, 1)).mean()
        )
