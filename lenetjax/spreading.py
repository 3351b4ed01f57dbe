"""A batch spread over devices, each of which works on its own part.

Which devices is said by the mesh in force (`jax.set_mesh`), by its axis "data". The
compiler could spread the work by itself, and does for nets that look at a batch as a
whole; but it gathers the batch wherever `functional/batch_minor.py` asks for a layout
in memory, and puts a collective wherever it likes. Here there is one, for the means.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax import lax
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

AXIS = "data"


def ways(examples: Any) -> int:
    """Over how many devices a batch is spread; 1 where its parts would not be equal."""
    mesh = jax.sharding.get_abstract_mesh()
    by_axis = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    if by_axis.get(AXIS) != AxisType.Auto or examples % mesh.shape[AXIS]:
        return 1
    return int(mesh.shape[AXIS])


def by_compiler(x: Any = None) -> bool:
    """Whether the compiler decides what a device computes, or the user does for x."""
    if x is not None and any(jax.typeof(x).sharding.spec):
        return True
    mesh = jax.sharding.get_abstract_mesh()
    sizes = zip(mesh.axis_sizes, mesh.axis_types, strict=True)
    automatic = [int(size) for size, kind in sizes if kind == AxisType.Auto]
    return math.prod(automatic) > 1


def mean_over_devices(function: Callable[[Any], Any], batch: Any) -> Any:
    """Computes the means over a batch from those over the parts of its devices.

    Args:
      function: from a part to a pytree of means over the part's examples.
      batch: a pytree of arrays with the same first axis.
    """
    if ways(_examples(batch)) == 1:
        return function(batch)
    return _spread(lambda part: lax.pmean(function(part), AXIS), P())(batch)


def outputs_by_devices(function: Callable[[Any], Any], images: Any) -> Any:
    """Computes outputs, one for each example, on the devices where those are."""
    if ways(_examples(images)) == 1:
        return function(images)
    return _spread(function, P(AXIS))(images)


def _spread(function: Callable[[Any], Any], out: P) -> Callable[[Any], Any]:
    # check_vma=True would add up the gradient of each layer when it arises.
    spread = partial(jax.shard_map, in_specs=P(AXIS), axis_names={AXIS})
    found: Callable[[Any], Any] = spread(function, out_specs=out, check_vma=False)
    return found


def _examples(batch: Any) -> Any:
    return jax.tree.leaves(batch)[0].shape[0]  # by name only, in an exported program
