"""The nets that the command line knows by name."""

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp

from lenetjax import models
from lenetjax.commands.sources import IMAGE
from lenetjax.core import Layer
from lenetjax.runs import read_config
from lenetjax.wrappers import mixed_precision


def net_and_image(options: argparse.Namespace) -> tuple[Layer, jax.ShapeDtypeStruct]:
    """The net of a run, or one by its name, and an image for it."""
    if options.run_dir is not None:
        _, net, plan = read_config(options.run_dir)
        return net, plan.x
    return model(options.model), jax.ShapeDtypeStruct((1, *IMAGE), jnp.float32)


def model(name: str, precision: str = "float32") -> Layer:
    """Builds a net by its name, which computes in a dtype."""
    makers: dict[str, Callable[[], Layer]] = {
        "lenet": models.lenet,
        "lenet5": models.lenet5,
        "mlp": models.mlp,
        "resnet20": models.resnet20,
    }
    net = makers[name]()
    return net if precision == "float32" else mixed_precision(net, compute=precision)
