"""The expected numbers, each with its source. Computable numbers are computed by the checks themselves."""

from __future__ import annotations

from .frame import Source

DIRAC_GAN = Source(
    "Mescheder, Geiger & Nowozin 2018, Which Training Methods for GANs do actually Converge?",
    "arXiv:1801.04406, sections 2 to 4",
)
DIRAC_LEARNING_RATE = 0.2
DIRAC_CRITICAL_GAMMA = 1.0
"""2 |f′(0)|, with f′(0) = ½ for the minimax game."""

TIGHTER_BOUNDS = Source(
    "Rainforth et al. 2018, Tighter Variational Bounds are Not Necessarily Better",
    "arXiv:1802.04537, section 4: the model",
)
IWAE_BIAS = Source(
    "Nowozin 2018, Debiasing Evidence Approximations",
    "ICLR 2018: the gap of K samples approaches Var(w) / (2 K p(x)²)",
)
ELBO_GAP = 0.4565126
"""nats: KL(N(m, ⅔ I₂₀) ‖ N(m, ½ I₂₀)) = 10 (4/3 − 1 − ln 4/3)."""
IWAE_GAP_TIMES_K = 0.4534
"""nats, the limit of the gap times K: ½ ((E_q (p/q)²) − 1), with the posterior p and the proposal q above."""

PACGAN = Source(
    "Lin, Khetan, Fanti & Oh 2018, PacGAN: The power of two samples in generative adversarial networks",
    "arXiv:1712.04086, Table 1",
)
PACGAN_RING_MODES = (6.3, 0.5)
"""Modes out of eight captured by its GAN, with the reported error: 10 runs of 400,000 steps."""
PACGAN_GRID_MODES = (17.3, 0.8)
"""Modes out of 25, likewise."""

FLOW_2D = Source(
    "Tong et al. 2023, Simulation-free Schrödinger bridges via score and flow matching",
    "arXiv:2307.03672, Table 2",
)
FLOW_2D_DISTANCES = {
    "flow_2d_normal_8gaussians": {"ot_cfm": (0.303, 0.043), "i_cfm": (0.373, 0.103)},
    "flow_2d_moons_8gaussians": {"ot_cfm": (0.601, 0.027), "i_cfm": (1.557, 0.407)},
    "flow_2d_normal_moons": {"ot_cfm": (0.130, 0.016), "i_cfm": (0.178, 0.014)},
    "flow_2d_normal_scurve": {"ot_cfm": (0.144, 0.028), "i_cfm": (0.242, 0.141)},
}
"""2-Wasserstein distance by experiment and objective: mean and standard deviation over five seeds."""
