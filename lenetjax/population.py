"""Many runs of one net in one compiled program, spread over devices."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from lenetjax.core import Layer
from lenetjax.data.dataset import Dataset
from lenetjax.measuring import Compiled
from lenetjax.members import Numbers
from lenetjax.specs import is_random_key
from lenetjax.training import Loss, TrainState, eval_step, train_state, train_step

AXIS = "members"
OptimizerOf = Callable[..., optax.GradientTransformation]


class Population:
    """Runs of one net, each with its own seed and hyperparameters.

    Every array of `runs` has a first axis of members. Each device holds its share of
    them, and all of the images; the program on a device never asks for what another
    one holds, so nothing is sent between them.

    Args:
      net: the net.
      optimizer_of: makes the optimizer of a member's hyperparameters.
      loss: ``loss(outputs, labels)``.
      settings: seed and hyperparameters of each member.
      data: images to train on and to test with.
      batch_size: images in a batch.
      devices: where to compute.
      at_once: members that a device works on side by side; None: on a CPU one after
        the other, elsewhere all.
    """

    def __init__(
        self,
        net: Layer,
        optimizer_of: OptimizerOf,
        loss: Loss,
        settings: Sequence[tuple[int, Numbers]],
        data: Dataset,
        batch_size: int,
        devices: Sequence[jax.Device],
        at_once: int | None,
    ) -> None:
        self.net, self.make, self.loss = net, optimizer_of, loss
        self.batch_size, self.count = batch_size, len(settings)
        devices = devices[: len(settings)]
        each = -(-len(settings) // len(devices))
        # The last one again, until each device has as many; these do not count.
        padding = [settings[-1]] * (each * len(devices) - len(settings))
        self.settings = [*settings, *padding]
        usual = 1 if devices[0].platform == "cpu" else each
        self.at_once = min(each, at_once or usual)
        self.mesh = jax.make_mesh(
            (len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices
        )
        self.apart = NamedSharding(self.mesh, PartitionSpec(AXIS))
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        self.data = jax.device_put(jax.tree.map(jnp.asarray, data), everywhere)
        self.hyperparameters = jax.device_put(self._columns(), self.apart)
        self.runs = self._begun(data.train.images[:batch_size])
        self.program = Compiled(self._program())

    def epoch(self, orders: Any) -> tuple[Any, Any]:
        """Trains each member for an epoch, and tests it.

        Args:
          orders: the numbers of the training images in the order of each seed, by seed.

        Returns:
          The metrics of each batch, of training and of the test: arrays (members,
          batches).
        """
        numbers = np.stack([orders[seed] for seed, _ in self.settings])
        placed = jax.device_put(numbers, self.apart)
        self.runs, *metrics = self.program(
            self.hyperparameters, self.runs, self.data, placed
        )
        trained, tested = jax.device_get(metrics)
        trained, tested = jax.tree.map(lambda a: a[: self.count], (trained, tested))
        return trained, tested

    def member_runs(self) -> list[TrainState]:
        """The run of each member, on the device that JAX uses by itself."""
        device = jax.local_devices()[0]
        runs = jax.device_put(self.runs, device)
        return [jax.tree.map(lambda a, i=i: a[i], runs) for i in range(self.count)]

    def _columns(self) -> dict[str, jax.Array]:
        """Each hyperparameter's values, one for each member.

        They stay of the weak type of Python's numbers, which leaves half precision as
        it is.
        """
        columns: dict[str, jax.Array] = {}
        for name in self.settings[0][1]:
            values = [numbers[name] for _, numbers in self.settings]
            kind = int if all(isinstance(value, int) for value in values) else float
            columns[name] = jnp.stack([jnp.asarray(kind(value)) for value in values])
        return columns

    def _begun(self, images: Any) -> TrainState:
        """The first runs, as `fit` draws them: those of a seed share their values."""
        placeholder = optax.identity()
        drawn = {
            seed: train_state(self.net, placeholder, jax.random.key(seed), images)
            for seed in {seed for seed, _ in self.settings}
        }
        mine = [drawn[seed] for seed, _ in self.settings]
        runs = jax.tree.map(lambda *leaves: jnp.stack(leaves), *mine)

        def begin(numbers: Any, params: Any) -> Any:
            return self._optimizer(numbers).init(params)

        opt_state = jax.jit(jax.vmap(begin))(self._columns(), runs.params)
        # A weak type would change in the first step, and with it the program.
        runs = jax.tree.map(
            lambda a: a if is_random_key(a) else jnp.asarray(a, a.dtype),
            runs._replace(opt_state=opt_state),
        )
        placed: TrainState = jax.device_put(runs, self.apart)
        return placed

    def _optimizer(self, numbers: Any) -> optax.GradientTransformation:
        try:
            return self.make(**numbers)
        except jax.errors.ConcretizationTypeError as error:
            raise ValueError(
                "optimizer_of looks at a hyperparameter's value (as in `if rate > 0`), "
                "which JAX has not while it compiles one program for all; what decides "
                f"how the optimizer is built needs a sweep for each value: {error}"
            ) from error

    def _program(self) -> Any:
        """Compiles an epoch of all members, and their tests."""

        def share(numbers: Any, runs: Any, data: Dataset, orders: Any) -> Any:
            def one(member: Any) -> Any:
                numbers, run, order = member
                return self._member_epoch(numbers, run, order, data)

            members = numbers, runs, orders
            if self.at_once == len(orders):
                return jax.vmap(one)(members)
            several = None if self.at_once == 1 else self.at_once
            return lax.map(one, members, batch_size=several)

        apart, everywhere = PartitionSpec(AXIS), PartitionSpec()
        spread = jax.shard_map(
            share,
            mesh=self.mesh,
            in_specs=(apart, apart, everywhere, apart),
            out_specs=apart,
            check_vma=False,  # there are no collectives, so nothing to check
        )
        return jax.jit(spread, donate_argnums=1)

    def _member_epoch(
        self, numbers: Any, run: TrainState, order: Any, data: Dataset
    ) -> tuple[TrainState, Any, Any]:
        step = train_step(self.net, self._optimizer(numbers), self.loss)
        evaluate = eval_step(self.net, self.loss)
        (images, labels), (test_images, test_labels) = data

        def train(run: TrainState, order: Any) -> Any:
            return step(run, (images[order], labels[order]))

        def test(_: None, order: Any) -> Any:
            batch = test_images[order], test_labels[order]
            return None, evaluate(run.params, run.state, batch)

        run, trained = _over_batches(train, run, order, self.batch_size)
        in_order = jnp.arange(len(test_labels))
        _, tested = _over_batches(test, None, in_order, self.batch_size)
        return run, trained, tested


def _over_batches(step: Any, carry: Any, order: Any, size: int) -> tuple[Any, Any]:
    """Scans over the whole batches of an order, then does the last, smaller one."""
    whole = len(order) // size * size
    found = []
    for part in (order[:whole].reshape(-1, size), order[None, whole:]):
        if part.size:
            carry, metrics = lax.scan(step, carry, part)
            found.append(metrics)
    return carry, jax.tree.map(lambda *parts: jnp.concatenate(parts), *found)
