"""From what a fit says about labelled frames it was fitted without, to scores that mean something.

N labelled frames, K classes; said_NK is 1 where a frame shows a class; left_out_NK is the answer for a frame fitted
without it, around 0 for no and towards 1 for yes.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["sigmoid_temperature", "softmax_temperature", "thresholds"]

TEMPERATURES = torch.logspace(-5, 3, 65, base=2.0)
HALF = 0.5


def softmax_temperature(left_out_NK: Tensor, said_NK: Tensor) -> float:
    """What to divide answers by before a softmax, where every frame shows exactly one class.

    The temperature of least cross-entropy (Guo et al., 2017) against targets smoothed by one more observation of every
    class (as Platt, 1999, has it for two), so that five frames do not make anything certain. A frame that is the only
    one of its class says nothing: without it the class is unknown.
    """
    known = (said_NK * said_NK.sum(0)).sum(1) > 1
    num_known, num_classes = int(known.sum()), said_NK.shape[1]
    targets = (said_NK[known] * num_known + 1) / (num_known + num_classes)
    if not num_known:
        return float(TEMPERATURES[-1])
    return _least([float(F.cross_entropy(left_out_NK[known] / t, targets)) for t in TEMPERATURES])


def sigmoid_temperature(margin_NK: Tensor, said_NK: Tensor) -> float:
    """What to divide answers minus thresholds by before a sigmoid, one for all classes, as `softmax_temperature` is found."""
    known = _known(said_NK)
    yes, no = said_NK.bool() & known, ~said_NK.bool() & known
    if not known.any():
        return float(TEMPERATURES[-1])
    targets = torch.where(yes, (yes.sum() + 1) / (yes.sum() + 2), 1 / (no.sum() + 2))
    return _least([float(F.binary_cross_entropy_with_logits(margin_NK[known] / t, targets[known])) for t in TEMPERATURES])


def thresholds(left_out_NK: Tensor, said_NK: Tensor) -> Tensor:
    """(K,): the answer from which a class is shown: fewest errors, then the widest gap; a half if it was seen less than twice."""
    enough = said_NK.sum(0) > 1
    found = [_threshold(left_out_NK[:, k], said_NK[:, k]) if enough[k] else HALF for k in range(said_NK.shape[1])]
    return torch.tensor(found)


def _threshold(answers_N: Tensor, said_N: Tensor) -> float:
    edges = torch.cat([torch.zeros(1), answers_N.clamp(0, 1).sort().values, torch.ones(1)])
    middles, gaps = (edges[1:] + edges[:-1]) / 2, edges[1:] - edges[:-1]
    errors = ((answers_N[None] >= middles[:, None]) != said_N.bool()[None]).sum(1)
    return float(middles[int((errors - gaps).argmin())])


def _known(said_NK: Tensor) -> Tensor:
    """(N, K) whether some other frame shows the class as this one does or does not."""
    alike = torch.where(said_NK.bool(), said_NK.sum(0), (1 - said_NK).sum(0))
    return alike > 1


def _least(losses: list[float]) -> float:
    return float(TEMPERATURES[int(torch.tensor(losses).argmin())])
