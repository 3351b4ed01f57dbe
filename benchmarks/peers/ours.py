"""lenetjax, by its own training step."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

import lenetjax as nn
from benchmarks.peers.jax_trainer import JaxTrainer
from benchmarks.peers.trainer import Trainer
from benchmarks.setup import IMAGES, LEARNING_RATE, MOMENTUM, Setup


def make_net(model: str) -> nn.Layer:
    """Makes a net by its name in `lenetjax.models`."""
    net: nn.Layer = getattr(nn.models, model)()
    return net


def make(setup: Setup, variant: str = "") -> Trainer:
    """Prepares the training."""
    net = make_net(setup.model)
    optimizer = optax.sgd(LEARNING_RATE, momentum=MOMENTUM)
    train_step = nn.train_step(net, optimizer)

    def step(run: Any, images: jax.Array, labels: jax.Array) -> tuple[Any, jax.Array]:
        run, metrics = train_step(run, (images, labels))
        return run, metrics["loss"]

    predict_step = nn.predict_step(net)

    def forward(variables: Any, images: jax.Array) -> Any:
        return predict_step(*variables, images)

    return JaxTrainer(
        setup,
        start(net, optimizer, setup),
        step,
        lambda run: (run.params, run.state),
        forward,
    )


def start(
    net: nn.Layer, optimizer: optax.GradientTransformation, setup: Setup
) -> nn.TrainState:
    """A new run with the values that all peers start from."""
    example = jax.ShapeDtypeStruct((1, *IMAGES[setup.model]), jnp.float32)
    run = nn.train_state(net, optimizer, jax.random.key(0), example)
    values = jax.tree.map(jnp.array, dict(setup.values))
    return run._replace(params=nn.unflat(values))
