"""What needs no trained net: lenetjax summary, graph."""

import argparse
import json
from collections.abc import Callable

import jax
import jax.numpy as jnp

from lenetjax import inspection
from lenetjax.commands.nets import net_and_example
from lenetjax.core import Params, State
from lenetjax.losses import cross_entropy


def summary(options: argparse.Namespace) -> int:
    """Prints a net's layers with their shapes, params and FLOPs for one example."""
    table = inspection.summary(*net_and_example(options))
    if options.format == "json":
        rows = [row._asdict() for row in table.rows]
        print(json.dumps({"input": table.input, "rows": rows}, indent=2))
    else:
        print(table._repr_html_() if options.format == "html" else table)
    return 0


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
