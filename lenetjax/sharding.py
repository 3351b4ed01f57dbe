"""How a training lies on devices: batches spread over them, params copied or split."""

import contextlib
import fnmatch
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from lenetjax.functional.arguments import is_int
from lenetjax.specs import over_data
from lenetjax.spreading import AXIS
from lenetjax.training import TrainState

__all__ = ["AnyLayout", "Anywhere", "Devices", "Layout", "Rules"]

Devices = int | str | Sequence[jax.Device] | Mesh
Rules = Mapping[str, P]


class Layout:
    """A mesh of devices, and what lies where on it.

    Batches are spread over the mesh's axis "data"; each device holds all params, except
    those that the rules split. The numbers are those of one device, to rounding: batch
    norm sees the whole batch, and dropout draws the same.

    Args:
      devices: "all"; how many of `jax.devices()`; a list of some; or a
        `jax.sharding.Mesh` with an axis "data".
      rules: which params to split, and over which axes of the mesh: from a pattern for
        the param's path, as "fc*/weight", to a `jax.sharding.PartitionSpec` with an
        entry for each of the param's axes. The first pattern that fits counts. The
        optimizer's copies of a param lie as the param does.

    Raises:
      ValueError: there are not so many devices, the mesh has no axis "data", or a rule
        names an axis that the mesh does not have.

    Example:
      >>> import jax, jax.numpy as jnp, lenetjax as nn, optax
      >>> net, optimizer = nn.linear(2), optax.sgd(0.1)
      >>> layout = nn.sharding.Layout(1)
      >>> run = nn.train_state(net, optimizer, jax.random.key(0), jnp.ones((1, 3)))
      >>> run = layout.place(run)
      >>> step = layout.keeping(nn.train_step(net, optimizer))
      >>> batch = jnp.ones((4, 3)), jnp.array([0, 1, 1, 1])
      >>> with layout.in_force():
      ...     run, metrics = step(run, layout.place_batch(batch))
      >>> run.params["weight"].sharding.mesh.axis_names
      ('data',)
    """

    def __init__(self, devices: Devices = "all", rules: Rules | None = None) -> None:
        self.mesh = _mesh(devices)
        self.rules = dict(rules or {})
        self.ways = int(self.mesh.shape[AXIS])
        self.shares = jax.process_count()
        self._refuse_other_shares()
        for pattern, spec in self.rules.items():
            _check_rule(pattern, spec, self.mesh)

    def in_force(self) -> Any:
        """A context in which compiled steps know of the mesh."""
        return jax.set_mesh(self.mesh)

    def shardings(self, run: TrainState) -> TrainState:
        """A `NamedSharding` for each array of a run, or of its specs.

        Raises:
          ValueError: a rule fits no param, or cannot split one that it fits.
        """
        split = self._split(run.params)

        def sharding(path: Any, leaf: Any) -> NamedSharding:
            spec = _spec_of(_name(path), leaf.shape, split)
            return NamedSharding(self.mesh, spec)

        found: TrainState = jax.tree_util.tree_map_with_path(sharding, run)
        return found

    def place(self, run: TrainState) -> TrainState:
        """Lays out a run, which may come from one device or from other devices.

        Raises:
          ValueError: see `shardings`.
        """
        placed: TrainState = jax.tree.map(_placed, run, self.shardings(run))
        return placed

    def keeping(self, step: Any) -> Any:
        """A compiled step whose result lies as its argument did; it donates the run.

        Args:
          step: ``step(run, batch) -> (run, metrics)``.
        """

        def kept(run: TrainState, batch: Any) -> tuple[TrainState, Any]:
            new, metrics = step(run, batch)
            return lax.with_sharding_constraint(new, self.shardings(new)), metrics

        return jax.jit(kept, donate_argnums=0)

    def place_batch(self, batch: Any, *, axis: int = 0) -> Any:
        """Spreads a batch over the devices; each gets a copy where it does not divide.

        Args:
          batch: a pytree of arrays.
          axis: of the batch, in each of them.
        """

        def sharding(array: Any) -> NamedSharding:
            whole = array.shape[axis] % self.ways
            spec = P() if whole else P(*[None] * axis, AXIS)
            return NamedSharding(self.mesh, spec)

        return jax.tree.map(lambda array: _placed(array, sharding(array)), batch)

    def place_shares(self, batch: Any) -> Any:
        """Makes one batch of the shares that the processes give.

        Raises:
          ValueError: a share does not divide among the devices of its process, or a
            part of a batch would come from several processes.
        """
        if self.shares == 1:
            return self.place_batch(batch)
        parts = np.moveaxis(self.mesh.devices, self.mesh.axis_names.index(AXIS), 0)
        if any(len({d.process_index for d in np.ravel(part)}) > 1 for part in parts):
            raise ValueError(
                f'each process gives its share of a batch, so the axis "{AXIS}" of the '
                "mesh must run over the processes; pass a Dataset, or other axes"
            )
        images = len(jax.tree.leaves(batch)[0])
        if images * self.shares % self.ways:
            raise ValueError(
                f"a share of {images} images does not divide among the devices of this "
                f"process, {self.ways // self.shares}; leave the last batch out where "
                "it is smaller"
            )
        spread = NamedSharding(self.mesh, P(AXIS))
        return jax.tree.map(
            lambda array: jax.make_array_from_process_local_data(spread, array), batch
        )

    def place_copies(self, tree: Any) -> Any:
        """Gives each device a copy of each array."""
        copies = NamedSharding(self.mesh, P())
        return jax.tree.map(lambda array: _placed(array, copies), tree)

    def settle(self, result: Any) -> None:
        """Waits for a step where two under way could wait for each other.

        The devices of a CPU share its threads, and a collective needs them all at once.
        """
        if self.ways > 1 and self.mesh.devices.flat[0].platform == "cpu":
            jax.block_until_ready(result)

    def refuse_uneven(self, name: str, images: int) -> None:
        """Raises ValueError where batches of so many images do not divide."""
        if images % self.ways:
            raise ValueError(
                f"{name} {images} does not divide among {self.ways} devices; take "
                f"{_multiples(images, self.ways)}, or other devices"
            )

    def _refuse_other_shares(self) -> None:
        counts = Counter(device.process_index for device in self.mesh.devices.flat)
        if len(counts) != self.shares or len(set(counts.values())) > 1:
            raise ValueError(
                f"devices must be equally many of each of the {self.shares} processes, "
                f"got {dict(sorted(counts.items()))}"
            )

    def _split(self, params: Any) -> dict[str, tuple[tuple[int, ...], P]]:
        """Shape and spec of each param, by its path."""
        leaves = jax.tree_util.tree_leaves_with_path(params)
        shapes = {_name(path): tuple(leaf.shape) for path, leaf in leaves}
        found: dict[str, tuple[tuple[int, ...], P]] = {}
        for pattern, spec in self.rules.items():
            fitting = fnmatch.filter(shapes, pattern)
            if not fitting:
                raise ValueError(
                    f"the rule {pattern!r} fits no param; there are {', '.join(shapes)}"
                )
            for name in fitting:
                _check_divides(pattern, spec, name, shapes[name], self.mesh)
                found.setdefault(name, (shapes[name], spec))
        return {name: found.get(name, (shape, P())) for name, shape in shapes.items()}


class Anywhere:
    """The layout where nothing is said: JAX puts everything on its first device."""

    shares = 1

    def in_force(self) -> Any:
        """A context that changes nothing."""
        return contextlib.nullcontext()

    def place(self, run: TrainState) -> TrainState:
        """The run as it is."""
        return run

    def keeping(self, step: Any) -> Any:
        """The step as it is."""
        return step

    def place_batch(self, batch: Any, *, axis: int = 0) -> Any:
        """The batch as it is; the step that it goes to takes it from the host."""
        return batch

    place_shares = place_batch

    def place_copies(self, tree: Any) -> Any:
        """Puts arrays on the device."""
        return jax.device_put(tree)

    def settle(self, result: Any) -> None:
        """Waits for nothing."""

    def refuse_uneven(self, name: str, images: int) -> None:
        """Nothing is uneven on one device."""


AnyLayout = Layout | Anywhere
ANYWHERE = Anywhere()


def _spec_of(
    name: str, shape: tuple[int, ...], split: Mapping[str, tuple[tuple[int, ...], P]]
) -> P:
    """That of the param, or of the one that an optimizer's array goes with."""
    parts = name.split("/")
    for start in range(len(parts)):
        like, spec = split.get("/".join(parts[start:]), (None, P()))
        if like == shape:
            return spec
    return P()


def _placed(array: Any, sharding: NamedSharding) -> Any:
    """An array as the devices of this process need it; every process has all of it."""

    def placed(values: Any) -> Any:
        if sharding.is_fully_addressable:
            return jax.device_put(values, sharding)
        values = np.asarray(values)
        return jax.make_array_from_callback(values.shape, sharding, values.__getitem__)

    return over_data(placed, array)


def _mesh(devices: Devices) -> Mesh:
    if isinstance(devices, Mesh):
        if AXIS not in devices.axis_names:
            raise ValueError(
                f'the mesh has no axis "{AXIS}" to spread batches over, it has '
                f"{', '.join(map(str, devices.axis_names))}"
            )
        automatic = (AxisType.Auto,) * len(devices.axis_names)
        return Mesh(devices.devices, devices.axis_names, axis_types=automatic)
    return Mesh(np.array(_chosen(devices)), (AXIS,), axis_types=(AxisType.Auto,))


def _chosen(devices: int | str | Sequence[jax.Device]) -> list[jax.Device]:
    there = jax.devices()
    if isinstance(devices, str) and devices == "all":
        return there
    if is_int(devices):
        if not 0 < devices <= len(there):
            raise ValueError(
                f"devices={devices}, but JAX finds {len(there)} here ({there[0]}, "
                '...); on a CPU, jax.config.update("jax_num_cpu_devices", '
                f"{devices}) before JAX is used makes that many"
            )
        return there[:devices]
    if isinstance(devices, Sequence) and devices and set(devices) <= set(there):
        return list(devices)
    raise ValueError(
        f'devices must be "all", a number, a list of jax.devices() or a '
        f"jax.sharding.Mesh, got {devices!r}"
    )


def _check_rule(pattern: str, spec: Any, mesh: Mesh) -> None:
    if not isinstance(spec, P):
        raise ValueError(
            f"the rule {pattern!r} must have a jax.sharding.PartitionSpec, got {spec!r}"
        )
    for axis in (axis for entry in spec for axis in _axes(entry)):
        if axis not in mesh.axis_names:
            raise ValueError(
                f"the rule {pattern!r} names the axis {axis!r}; the mesh has "
                f"{', '.join(map(str, mesh.axis_names))}"
            )


def _check_divides(
    pattern: str, spec: P, name: str, shape: tuple[int, ...], mesh: Mesh
) -> None:
    fits = len(spec) <= len(shape) and not any(
        n % math.prod(mesh.shape[axis] for axis in _axes(entry))
        for n, entry in zip(shape, spec, strict=False)
    )
    if not fits:
        sizes = ", ".join(f"{axis} {n}" for axis, n in mesh.shape.items())
        raise ValueError(
            f"the rule {pattern!r}, {spec}, cannot split {name} of shape {shape} "
            f"evenly over a mesh of {sizes}"
        )


def _axes(entry: Any) -> Iterator[str]:
    """The axes of the mesh over which one axis of an array is split."""
    if entry is not None:
        yield from (entry,) if isinstance(entry, str) else entry


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _multiples(images: int, ways: int) -> str:
    above = -(-images // ways) * ways
    return f"{above - ways} or {above}" if above > ways else str(above)
