"""The optimizers that the command line knows by name."""

from collections.abc import Mapping
from typing import Any

import optax

from lenetjax.scaling import loss_scaling

LEARNING_RATES = {"sgd": 0.05, "nesterov": 0.05}
WITH_MOMENTUM = ("sgd", "nesterov", "rmsprop")
USUAL = {
    "optimizer": "sgd",
    "learning_rate": LEARNING_RATES["sgd"],
    "momentum": 0.9,
    "precision": "float32",
}


def optimizer(
    training: Mapping[str, Any], updates: int
) -> optax.GradientTransformation:
    """Builds the optimizer of a run; for float16 it scales the loss.

    Args:
      training: the run's options.
      updates: after how many the learning rate is zero.
    """
    momentum = training["momentum"]
    rate = optax.cosine_decay_schedule(training["learning_rate"], updates)
    made = {
        "sgd": lambda: optax.sgd(rate, momentum=momentum),
        "nesterov": lambda: optax.sgd(rate, momentum=momentum, nesterov=True),
        "adam": lambda: optax.adam(rate),
        "adamw": lambda: optax.adamw(rate),
        "rmsprop": lambda: optax.rmsprop(rate, momentum=momentum),
    }[str(training["optimizer"])]()
    return loss_scaling(made) if training["precision"] == "float16" else made
