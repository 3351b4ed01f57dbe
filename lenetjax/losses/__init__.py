"""Losses: how far predictions are from their targets. Classes are the last axis.

The mean over no examples at all is NaN, as PyTorch's.
"""

from lenetjax.losses.binary import (
    bce,
    bce_with_logits,
    multilabel_soft_margin,
    soft_margin,
)
from lenetjax.losses.classification import check_labels, cross_entropy, nll
from lenetjax.losses.ctc import ctc
from lenetjax.losses.distributions import gaussian_nll, kl_div, poisson_nll
from lenetjax.losses.margins import multi_margin, multilabel_margin
from lenetjax.losses.ranking import (
    cosine_embedding,
    hinge_embedding,
    margin_ranking,
    triplet_margin,
)
from lenetjax.losses.reduction import Reduction
from lenetjax.losses.regression import huber, l1, mse, smooth_l1

__all__ = [
    "Reduction",
    "bce",
    "bce_with_logits",
    "check_labels",
    "cosine_embedding",
    "cross_entropy",
    "ctc",
    "gaussian_nll",
    "hinge_embedding",
    "huber",
    "kl_div",
    "l1",
    "margin_ranking",
    "mse",
    "multi_margin",
    "multilabel_margin",
    "multilabel_soft_margin",
    "nll",
    "poisson_nll",
    "smooth_l1",
    "soft_margin",
    "triplet_margin",
]
