"""The code of the article that genloss comes from gives the same numbers as genloss's losses."""

import torch
from torch import nn

from genloss_builtin.losses.adversarial import minimax_discriminator
from genloss_builtin.losses.categorical import categorical_nll
from genloss_builtin.losses.divergence import gaussian_kl
from genloss_builtin.losses.reconstruction import squared_error


def assert_equal(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_cross_entropy():
    torch.manual_seed(0)
    logits = torch.randn(3, 5, requires_grad=True)
    targets = torch.empty(3, dtype=torch.long).random_(5)
    assert_equal(
        categorical_nll(logits=logits, targets=targets).mean(), nn.CrossEntropyLoss()(logits, targets)
    )


def test_autoencoder():
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(784, 128), nn.ReLU())
    decoder = nn.Sequential(nn.Linear(128, 784), nn.Sigmoid())
    x = torch.rand(64, 784)
    x_hat = decoder(encoder(x))
    assert_equal(squared_error(x=x, x_hat=x_hat, reduce="mean").mean(), nn.MSELoss()(x_hat, x))


def test_kl_divergence():
    def kl_divergence(mu_q, logvar_q, mu_p, logvar_p):
        scaled = (torch.exp(logvar_q) + (mu_q - mu_p) ** 2) / torch.exp(logvar_p)
        return 0.5 * torch.sum(logvar_p - logvar_q + scaled - 1, dim=1).mean()

    torch.manual_seed(0)
    mu_q, logvar_q, mu_p, logvar_p = torch.randn(4, 64, 10, dtype=torch.float64)
    ours = gaussian_kl(mu=mu_q, logvar=logvar_q, prior_mu=mu_p, prior_logvar=logvar_p)
    assert_equal(ours.mean(), kl_divergence(mu_q, logvar_q, mu_p, logvar_p))
    standard = torch.zeros_like(mu_q)
    assert_equal(
        gaussian_kl(mu=mu_q, logvar=logvar_q).mean(), kl_divergence(mu_q, logvar_q, standard, standard)
    )


def test_discriminator():
    torch.manual_seed(0)
    discriminator = nn.Sequential(nn.Linear(784, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1))
    real_logits, fake_logits = discriminator(torch.rand(64, 784)), discriminator(torch.randn(64, 784))
    criterion = nn.BCELoss()
    theirs = criterion(real_logits.sigmoid(), torch.ones(64, 1)) + criterion(
        fake_logits.sigmoid(), torch.zeros(64, 1)
    )
    ours = minimax_discriminator(real_logits=real_logits.squeeze(1), fake_logits=fake_logits.squeeze(1))
    assert_equal(ours.mean(), theirs)
