"""Neural networks as pure functions, in JAX: `init` and `apply` over plain dicts.

The public names are imported at their first use, so that the command line can answer
``lenetjax --help`` without importing jax.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lenetjax import checkpoint, data, functional, inspection, losses, models
    from lenetjax.combinators import compose, serial
    from lenetjax.core import Layer, LayerError, layer, no_params
    from lenetjax.description import build, describe
    from lenetjax.inspection import summary
    from lenetjax.layers.convolution import conv2d
    from lenetjax.layers.dropout import dropout
    from lenetjax.layers.linear import linear
    from lenetjax.layers.normalization import batch_norm
    from lenetjax.layers.pooling import avg_pool2d, max_pool2d
    from lenetjax.layers.shaping import flatten
    from lenetjax.training import (
        Fit,
        TrainState,
        eval_step,
        fit,
        predict,
        train_state,
        train_step,
    )

__all__ = [
    "Fit",
    "Layer",
    "LayerError",
    "TrainState",
    "avg_pool2d",
    "batch_norm",
    "build",
    "checkpoint",
    "compose",
    "conv2d",
    "data",
    "describe",
    "dropout",
    "eval_step",
    "fit",
    "flatten",
    "functional",
    "inspection",
    "layer",
    "linear",
    "losses",
    "max_pool2d",
    "models",
    "no_params",
    "predict",
    "serial",
    "summary",
    "train_state",
    "train_step",
]

_MODULES = ("checkpoint", "data", "functional", "inspection", "losses", "models")
_HOMES = ("core", "combinators", "layers", "training", "description", "inspection")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"lenetjax.{name}")
    if name in __all__:
        for home in _HOMES:
            value = getattr(import_module(f"lenetjax.{home}"), name, None)
            if value is not None:
                globals()[name] = value
                return value
    raise AttributeError(f"module 'lenetjax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
