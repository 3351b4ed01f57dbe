"""Draws the values that all peers start from, by lenetjax, and counts the work."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import lenetjax as nn
from benchmarks.flops import per_image
from benchmarks.jobs import Started
from benchmarks.peers.ours import make_net
from benchmarks.setup import IMAGES


def start(spec: dict[str, Any]) -> Started:
    """Writes the values of all models to the file ``spec["path"]``."""
    arrays = {}
    flops = {}
    for model, image in IMAGES.items():
        net = make_net(model)
        example = jax.ShapeDtypeStruct((1, *image), jnp.float32)
        params, _ = net.init_with_state(jax.random.key(0), example)
        for name, array in nn.flat(params).items():
            arrays[f"{model}/{name}"] = np.asarray(array)
        flops[model] = per_image(net, example)._asdict()
    np.savez(spec["path"], **arrays)
    return {"flops": flops, "device": jax.devices()[0].device_kind}, {}
