"""The nets that the command line knows by name."""

import argparse
from collections.abc import Callable

import jax
import jax.numpy as jnp

from lenetjax import models
from lenetjax.commands.sources import SOURCES, TEXT
from lenetjax.core import Layer
from lenetjax.runs import read_config
from lenetjax.wrappers import mixed_precision

OF_IMAGES: dict[str, Callable[[], Layer]] = {
    "lenet": models.lenet,
    "lenet5": models.lenet5,
    "mlp": models.mlp,
    "resnet18": lambda: models.resnet18(10, small_images=True),
    "resnet20": models.resnet20,
    "vgg": models.vgg,
    "vit": models.vit,
}
OF_TEXT: dict[str, Callable[[int], Layer]] = {
    "char_gru": lambda size: models.char_rnn(size, cell="gru"),
    "char_lstm": lambda size: models.char_rnn(size, cell="lstm"),
}
ASCII = 128  # characters, for a net that is shown without a text


def net_and_example(options: argparse.Namespace) -> tuple[Layer, jax.ShapeDtypeStruct]:
    """The net of a run, or one by its name, and the shape of an input for it."""
    if options.run_dir is not None:
        _, net, plan = read_config(options.run_dir)
        return net, plan.x
    of_text = options.model in OF_TEXT
    source = SOURCES[TEXT if of_text else "digits"]
    example = jax.ShapeDtypeStruct((1, *source.shape), jnp.dtype(source.dtype))
    return model(options.model, ASCII if of_text else None), example


def check_fit(model_name: str, data_name: str) -> None:
    """Refuses nets and data that do not go together.

    Raises:
      ValueError: they do not; it says what would.
    """
    if (model_name in OF_TEXT) == (data_name == TEXT):
        return
    if model_name in OF_TEXT:
        raise ValueError(
            f"{model_name} reads text, and {data_name} is images; give --data text "
            f"--data-dir FILE, or --model {', '.join(OF_IMAGES)}"
        )
    raise ValueError(
        f"{model_name} sees images, and text is characters; give --model "
        f"{' or '.join(OF_TEXT)}"
    )


def model(name: str, vocabulary: int | None, precision: str = "float32") -> Layer:
    """Builds a net by its name.

    Args:
      name: the name.
      vocabulary: of how many characters, for a net of text.
      precision: the dtype that it computes in.
    """
    net = OF_IMAGES[name]() if vocabulary is None else OF_TEXT[name](vocabulary)
    return net if precision == "float32" else mixed_precision(net, compute=precision)
