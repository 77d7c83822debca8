"""Kernel ridge regression in closed form (Saunders, Gammerman & Vovk, 1998), with what it says of each example unseen.

N examples of D numbers, K targets.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Ridge", "solve_ridge"]

PENALTY = 0.1  # of the squared weights, in units of the mean squared norm of all features
BIAS_COLUMN = 0.3  # the constant every example is given beside its features: the smaller, the more a bias costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """A linear map, features @ weight_KD.T + bias_K, and left_out_NK: its answer for each example fitted without it."""

    weight_KD: Tensor
    bias_K: Tensor
    left_out_NK: Tensor


def solve_ridge(features_ND: Tensor, targets_NK: Tensor, sure_N: Tensor, *, others_MD: Tensor) -> Ridge:
    """The linear map of least squared error plus PENALTY times its squared weights.

    Args:
        features_ND, targets_NK: the examples.
        sure_N: how much each of them counts, above 0.
        others_MD: more features without targets; the mean of all is taken away, their mean squared norm is 1.
    """
    x_ND, y_NK, every = features_ND.double(), targets_NK.double(), torch.cat([features_ND, others_MD]).double()
    centre_D = every.mean(0)
    norm = (every - centre_D).square().sum(1).mean().sqrt().clamp(min=1e-6)
    z_ND = (x_ND - centre_D) / norm
    kernel_NN = z_ND @ z_ND.T + BIAS_COLUMN**2 + torch.diag(PENALTY / sure_N.double())
    inverse_NN = torch.linalg.inv(kernel_NN)
    dual_NK = inverse_NN @ y_NK
    weight_KD = dual_NK.T @ z_ND / norm
    return Ridge(
        weight_KD=weight_KD.float(),
        bias_K=(BIAS_COLUMN**2 * dual_NK.sum(0) - weight_KD @ centre_D).float(),
        left_out_NK=(y_NK - dual_NK / inverse_NN.diagonal()[:, None]).float(),
    )
