"""Every public loss, with arguments that it takes."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

import lenetjax as nn
from catalogue.case import spread

losses = nn.losses


@dataclass(frozen=True, eq=False)
class LossCase:
    """A loss and its arguments: floating ones are differentiated.

    `plain_mean` says that the mean is the one of all losses that "none" gives.
    """

    name: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    plain_mean: bool = True

    @property
    def loss(self) -> Callable[..., jax.Array]:
        return functools.partial(getattr(losses, self.name.split()[0]), **self.options)


def floats(seed: int, *shape: int) -> np.ndarray:
    """Values in -1..1, in another order for each seed."""
    return np.random.default_rng(seed).permuted(spread(shape)).astype("float32")


SHAPE = (4, 3)
A, B, C = (floats(seed, *SHAPE) for seed in range(3))
PROBABILITIES = (1 + 0.9 * A) / 2
LOG_P = np.log(PROBABILITIES / PROBABILITIES.sum(-1, keepdims=True))
DISTRIBUTION = (1.5 + B) / (1.5 + B).sum(-1, keepdims=True)
LABELS = np.array([0, 2, 1, 1], "int32")
YES = (B > 0).astype("float32")
SIGNS = np.array([1, -1, -1, 1], "int32")
CTC = (
    np.log(np.full((2, 5, 3), 1 / 3, "float32")) + floats(3, 2, 5, 3),
    np.array([[1, 2], [2, 2]], "int32"),
    np.array([5, 4], "int32"),
    np.array([2, 1], "int32"),
)


def case(name: str, *arguments: Any, plain_mean: bool = True, **options: Any):
    return LossCase(name, arguments, options, plain_mean)


LOSSES = [
    case("l1", A, B),
    case("mse", A, B),
    case("huber", A, B, delta=0.5),
    case("smooth_l1", A, B, beta=0.3),
    case("cross_entropy", A, LABELS),
    case("cross_entropy of distributions", A, DISTRIBUTION, label_smoothing=0.1),
    case(
        "cross_entropy with options",
        A,
        LABELS,
        weight=np.array([1, 2, 3], "float32"),
        ignore_index=1,
        label_smoothing=0.2,
        plain_mean=False,
    ),
    case("nll", LOG_P, LABELS),
    case("ctc", *CTC, plain_mean=False),
    case("poisson_nll", A, (B > 0).astype("int32")),
    case("gaussian_nll", A, B, 1.5 + C),
    case("kl_div", LOG_P, DISTRIBUTION),
    case("bce", PROBABILITIES, YES),
    case("bce_with_logits", A, YES, pos_weight=np.array([1, 2, 3], "float32")),
    case("hinge_embedding", 1 + A[:, 0], SIGNS, margin=1.5),
    case("cosine_embedding", A, B, SIGNS),
    case("margin_ranking", A[:, 0], B[:, 0], SIGNS, margin=0.1),
    case("multi_margin", A, LABELS, p=2),
    case("multilabel_margin", 0.9 * A, np.array([[0, -1, 2]] * 4, "int32")),
    case("multilabel_soft_margin", A, YES),
    case("soft_margin", A[:, 0], SIGNS),
    case("triplet_margin", A, B, C, swap=True),
]
