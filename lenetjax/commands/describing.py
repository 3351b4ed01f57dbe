"""What needs no trained net: lenetjax summary, graph."""

import argparse
import json
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from lenetjax import inspection
from lenetjax.commands.nets import net_and_example
from lenetjax.commands.optimizers import USUAL, optimizer
from lenetjax.core import Layer, Params, State
from lenetjax.losses import cross_entropy
from lenetjax.options.training import OPTIMIZERS
from lenetjax.runs import read_config


def summary(options: argparse.Namespace) -> int:
    """Prints a net's layers with their shapes, params and FLOPs, and what they take."""
    net, example = net_and_example(options)
    shape = options.batch_size, *example.shape[1:]
    batch = jax.ShapeDtypeStruct(shape, example.dtype)
    table = inspection.summary(net, batch)
    memory = _memory(options, net, batch) if options.memory else None
    if options.format == "json":
        rows = [row._asdict() for row in table.rows]
        found: dict[str, Any] = {"input": table.input, "rows": rows}
        if memory is not None:
            found["memory"] = memory.to_json()
        print(json.dumps(found, indent=2))
        return 0
    print(table._repr_html_() if options.format == "html" else table)
    if memory is not None:
        print(memory._repr_html_() if options.format == "html" else f"\n{memory}")
    return 0


def _memory(
    options: argparse.Namespace, net: Layer, batch: jax.ShapeDtypeStruct
) -> inspection.Memory:
    """What a batch takes, with the optimizer of the run or that of lenetjax train."""
    training = USUAL
    if options.run_dir is not None:
        config, _, _ = read_config(options.run_dir)
        there = config.get("training")
        training = USUAL | (there if isinstance(there, dict) else {})
    if training["optimizer"] not in OPTIMIZERS:
        raise ValueError(
            f"{options.run_dir} was trained with {training['optimizer']!r}, which is "
            f"none of {', '.join(OPTIMIZERS)}"
        )
    rates = [training[name] for name in ("learning_rate", "momentum")]
    if not all(isinstance(rate, int | float) for rate in rates):
        raise ValueError(f"{options.run_dir} was trained with {rates}, no numbers")
    return inspection.memory(net, batch, optimizer=optimizer(training, 1))


def graph(options: argparse.Namespace) -> int:
    """Prints what a net's loss of one example computes, or what its gradient does."""
    net, example = net_and_example(options)
    label = jax.ShapeDtypeStruct(net.plan(example).y.shape[:-1], jnp.int32)
    params, state = jax.eval_shape(net.init_with_state, jax.random.key(0), example)

    def loss(
        params: Params, state: State, images: jax.Array, labels: jax.Array
    ) -> jax.Array:
        return cross_entropy(net.apply(params, images, state=state), labels)

    found = inspection.graph(loss, params, state, example, label)
    found = found.backward() if options.backward else found
    written: dict[str, Callable[[], str]] = {
        "text": found.__str__,
        "dot": found.dot,
        "mermaid": found.mermaid,
        "svg": found.svg,
    }
    print(written[options.format]())
    return 0
