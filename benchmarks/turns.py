"""Lets processes take turns, so that what disturbs the machine strikes all alike."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.processes import Failure, Worker


class Task(NamedTuple):
    """Something to ask a process at each of its turns.

    Fields:
      name: what the times are kept under.
      do: the command.
      arguments: its arguments; the seconds of a turn are added.
    """

    name: str
    do: str
    arguments: dict[str, Any]


Times = dict[tuple[str, str], list[float]]


def take_turns(
    workers: Mapping[str, Worker],
    tasks: Callable[[str], list[Task]],
    *,
    rounds: int,
    seconds: float,
    failed: Callable[[str, str], None],
    timeout: float = 300,
) -> Times:
    """Asks everyone for everything, round after round.

    Args:
      workers: the processes by name.
      tasks: what to ask a process, by its name.
      rounds: how often.
      seconds: how long a turn is.
      failed: told the name of a process that did not answer, and why; it is asked no
        more, and its times are dropped.
      timeout: how long to wait for an answer; a first turn may have to compile.

    Returns:
      The seconds per call of each turn, by process and task.
    """
    times: Times = {}
    order = list(workers)
    dropped: set[str] = set()
    for number in range(rounds):
        # Another one begins each round: to follow a certain peer is no fate.
        turn = number % max(1, len(order))
        for name in order[turn:] + order[:turn]:
            for task in tasks(name):
                if name in dropped:
                    continue
                try:
                    answer = workers[name].ask(
                        task.do, timeout, seconds=seconds, **task.arguments
                    )
                except Failure as failure:
                    dropped.add(name)
                    failed(name, str(failure))
                    continue
                times.setdefault((name, task.name), []).append(answer["seconds"])
    return {key: values for key, values in times.items() if key[0] not in dropped}
