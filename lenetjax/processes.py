"""Many processes that train one net together, over `jax.distributed`."""

import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NoReturn

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from lenetjax.specs import over_data

HEARTBEAT = 30  # seconds without a word from a process, until it counts as lost
PATIENCE = 3600  # seconds at the end for process 0, which still draws and writes
LAST = 2  # seconds that process 0 stays longer than others where all fail
DELAY = 2  # calls from a wish to its answer, so that none waits for the others
LOST = ("Gloo", "NCCL", "coordination service", "distributed service", "heartbeat")


class ProcessLost(RuntimeError):
    """Another process of the training has ended; this one cannot go on alone."""


def join(coordinator: str, count: int | None, index: int | None) -> None:
    """Joins the processes that train together; before anything else is done with JAX.

    Args:
      coordinator: "host:port" of process 0, or "auto" for what Slurm, Open MPI,
        Kubernetes or a TPU pod say in the environment.
      count: how many processes there are.
      index: which this one is, from 0.

    Raises:
      RuntimeError: they did not come together.
    """
    try:
        jax.distributed.initialize(
            None if coordinator == "auto" else coordinator,
            count,
            index,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=PATIENCE,
        )
    except (RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())[:300]
        raise RuntimeError(
            f"the processes did not come together at {coordinator} ({text}); each "
            "needs the same --coordinator and --processes, and its own --process-id"
        ) from error


def together() -> bool:
    """Whether this process is one of many."""
    return int(jax.process_count()) > 1


def is_first() -> bool:
    """Whether this process writes and shows what all have done."""
    return jax.process_index() == 0


def on_first(function: Callable[[], str]) -> str:
    """Calls a function in process 0 alone, and returns its text in each.

    Raises:
      RuntimeError: it failed there; in process 0, its own error.
    """
    if not together():
        return function()
    failed, text = False, ""
    error: BaseException | None = None
    if is_first():
        try:
            text = function()
        except Exception as found:
            failed, error, text = True, found, " ".join(str(found).split())
    content = np.frombuffer(text.encode(), np.uint8)
    with lost_explained():
        header = multihost_utils.broadcast_one_to_all(
            np.array([failed, len(content)], np.int32)
        )
        padded = np.zeros(int(header[1]), np.uint8)
        padded[: len(content)] = content
        text = bytes(multihost_utils.broadcast_one_to_all(padded)).decode()
    if error is not None:
        raise error
    if header[0]:
        raise RuntimeError(f"process 0: {text}")
    return text


def from_first(tree: Any) -> Any:
    """The arrays of process 0 in each, bit for bit; all have the same structure."""
    if not together():
        return tree

    def sent(leaf: Any) -> Any:
        array = np.asarray(leaf)
        # As bytes: what is sent is a sum, and -0.0 plus zeros is 0.0.
        content = np.frombuffer(array.tobytes(), np.uint8)
        found = np.asarray(multihost_utils.broadcast_one_to_all(content))
        return jax.numpy.asarray(
            np.frombuffer(found.tobytes(), array.dtype).reshape(array.shape)
        )

    with lost_explained():
        return jax.tree.map(partial(over_data, sent), tree)


def here(tree: Any) -> Any:
    """Whole copies of arrays, in the memory of this process, as each can read them."""
    if not together():
        return tree

    def copied(leaf: Any) -> Any:
        if not (leaf.is_fully_replicated or leaf.is_fully_addressable):
            leaf = multihost_utils.process_allgather(leaf, tiled=True)
        return jax.numpy.asarray(np.asarray(leaf))

    with lost_explained():
        return jax.tree.map(partial(over_data, copied), tree)


def in_step(found: Iterator[Any], size: Callable[[Any], int]) -> Iterator[Any]:
    """Passes on batches while each process has as large a one.

    Raises:
      ValueError: the processes have batches of other sizes, or other numbers of them.
    """
    if not together():
        yield from found
        return
    end = object()
    while True:
        batch = next(found, end)
        mine = 0 if batch is end else size(batch)
        with lost_explained():
            sizes = np.ravel(multihost_utils.process_allgather(np.int32(mine)))
        if len(set(sizes.tolist())) > 1:
            raise ValueError(
                "each process must give equally many images for a batch, and equally "
                f"many batches; here they gave {', '.join(map(str, sizes))}"
            )
        if batch is end:
            return
        yield batch


class Agreement:
    """What any process wishes, known to all of them after the same step.

    A process that stopped by itself would leave the others waiting. So each says what
    it wishes, as a number, at each step; two steps later all know the largest.
    """

    def __init__(self) -> None:
        self.under_way: deque[jax.Array] = deque()
        self.alone = not together()
        if not self.alone:
            devices = np.array(jax.devices())
            mesh = Mesh(devices, ("all",), axis_types=(AxisType.Auto,))
            self.spread = NamedSharding(mesh, P("all"))
            copies = NamedSharding(mesh, P())
            self.largest = jax.jit(lambda wishes: wishes.max(), out_shardings=copies)

    def soon(self, wish: int) -> int:
        """What was wished for two calls ago; alone, what is wished for."""
        if self.alone:
            return wish
        self._say(wish)
        return self._answer() if len(self.under_way) > DELAY else 0

    def now(self, wish: int) -> int:
        """The largest wish of all, this call's included; waits for the others."""
        if self.alone:
            return wish
        self._say(wish)
        return max(self._answer() for _ in range(len(self.under_way)))

    def _say(self, wish: int) -> None:
        count = self.spread.num_devices
        wishes = jax.make_array_from_callback(
            (count,), self.spread, lambda index: np.full(1, wish, np.int32)
        )
        self.under_way.append(self.largest(wishes))

    def _answer(self) -> int:
        return int(self.under_way.popleft())


@contextlib.contextmanager
def lost_explained() -> Iterator[None]:
    """Says what to do where another process has ended.

    Raises:
      ProcessLost: it has.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())
        if not together() or not any(words in text for words in LOST):
            raise
        raise ProcessLost(
            f"process {jax.process_index()} of {jax.process_count()} lost another, "
            "which was killed or failed; start all of them again, and they go on from "
            f"the last checkpoint, if any are kept ({text[:200]})"
        ) from error


def leave(status: int) -> NoReturn:
    """Ends this process at once, without waiting for others that may be gone.

    Process 0 goes last: it is the one that the others listen to.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if is_first():
        time.sleep(LAST)
    os._exit(status)
