"""The nets that the command line knows by name."""

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp

from lenetjax import models
from lenetjax.commands.sources import IMAGE
from lenetjax.core import Layer
from lenetjax.runs import read_config


def net_and_image(options: argparse.Namespace) -> tuple[Layer, jax.ShapeDtypeStruct]:
    """The net of a run, or one by its name, and an image for it."""
    if options.run_dir is not None:
        _, net, plan = read_config(options.run_dir)
        return net, plan.x
    return model(options.model), jax.ShapeDtypeStruct((1, *IMAGE), jnp.float32)


def model(name: str) -> Layer:
    """Builds a net by its name."""
    makers: dict[str, Callable[[], Layer]] = {
        "lenet": models.lenet,
        "lenet5": models.lenet5,
        "mlp": models.mlp,
        "resnet18": lambda: models.resnet18(10, small_images=True),
        "resnet20": models.resnet20,
        "vgg": models.vgg,
        "vit": models.vit,
    }
    return makers[name]()
