"""Where a pass over batches is, so that it can go on there.

Iterators of grain have `get_state` and `set_state`. What the first returns is kept as
JSON, and given to the second in another process, so that no batch is read that was
trained on before. With other iterators those batches are gone through again.
"""

import base64
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any

MOST = 2**16  # characters of a state; a checkpoint's header has 2**20 in all

Position = dict[str, Any]  # plain data, as JSON has it
Asking = Callable[[], Position | None]


def nowhere() -> None:
    """The position of what has none."""


class Iteration:
    """One pass over batches.

    Args:
      batches: what is iterated over.
      position: where to begin, as `position()` said; None is the beginning.
      alone: whether they are those of one process. Of many, each has its own position,
        and a checkpoint that of process 0, so that the batches are gone through again.

    Raises:
      ValueError: the position is not one of these batches.
    """

    def __init__(
        self,
        batches: Iterable[Any],
        position: Position | None = None,
        *,
        alone: bool = True,
    ) -> None:
        self.iterator: Any = iter(batches)
        self.length = len(batches) if isinstance(batches, Sized) else None
        self.has_state = alone and all(
            callable(getattr(self.iterator, name, None))
            for name in ("get_state", "set_state")
        )
        self.restored = position is not None and self.has_state
        if position is not None and self.restored:
            self._go_to(position)

    def position(self) -> Position | None:
        """Where it is; None where the iterator cannot say it in plain data."""
        if not self.has_state:
            return None
        state = _to_plain(self.iterator.get_state())
        return None if state is None else {"length": self.length, **state}

    def _go_to(self, position: Position) -> None:
        if position["length"] != self.length:
            there, here = (
                "an unknown number of" if length is None else length
                for length in (position["length"], self.length)
            )
            raise ValueError(
                f"the checkpoint is of data with {there} batches in an epoch, and "
                f"these have {here}; go on with the same data in the same batches, or "
                "begin anew"
            )
        try:
            self.iterator.set_state(_from_plain(position))
        except Exception as error:  # whatever a loader raises
            raise ValueError(
                "the data cannot go on where they were when the checkpoint was saved; "
                f"{type(self.iterator).__name__}.set_state says "
                f"{type(error).__name__}: {error}"
            ) from error


def ahead(
    iteration: Iteration, count: int, prepare: Callable[[Any], Any]
) -> Iterator[tuple[Any, Asking]]:
    """Gives batches, some of them prepared before they are asked for.

    Args:
      iteration: where they come from.
      count: how many are prepared while one is worked on.
      prepare: what a batch goes through, such as the way to the device.

    Yields:
      a batch, and a function that says where the data are after this batch.
    """
    waiting: deque[tuple[Any, Asking]] = deque()
    for batch in iteration.iterator:
        waiting.append((prepare(batch), _said(iteration.position())))
        if len(waiting) > count:
            yield waiting.popleft()
    while waiting:
        yield waiting.popleft()


def checked(position: Any) -> Asking:
    """A position that comes from a file.

    Raises:
      ValueError: it is none.
    """
    if position is None:
        return nowhere
    if (
        not isinstance(position, dict)
        or set(position) != {"length", "form", "state"}
        or type(position["length"]) not in (int, type(None))
        or len(json.dumps(position["state"])) > MOST
    ):
        raise ValueError("its position in the data is none")
    _from_plain(position)
    return _said(position)


def _said(position: Position | None) -> Asking:
    return lambda: position


def _to_plain(state: Any) -> Position | None:
    """A state in JSON's terms; None where it would not come back the same."""
    form = "json"
    if isinstance(state, bytes):
        form, state = "base64", base64.b64encode(state).decode()
    try:
        text = json.dumps(state, allow_nan=False)
        same = json.loads(text) == state
    except (TypeError, ValueError, RecursionError):
        return None
    if not same or len(text) > MOST:
        return None
    return {"form": form, "state": json.loads(text)}  # a copy: loaders may go on in it


def _from_plain(position: Position) -> Any:
    form, state = position["form"], position["state"]
    if form == "base64" and isinstance(state, str):
        return base64.b64decode(state, validate=True)
    if form == "json":
        return state
    raise ValueError("its position in the data has an unknown form")
