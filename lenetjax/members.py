"""The members of a sweep: what each was given, what it learned, and who is best."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from lenetjax.core import Params, State
from lenetjax.functional.arguments import is_int, is_number

Numbers = dict[str, float]
SHOWN = ("test_accuracy", "test_loss", "train_loss")  # in the table


class Member(NamedTuple):
    """One of the trainings of a sweep.

    `hyperparameters` and `seed` are what it was given. `history` has a dict for each
    epoch: epoch, step, train_loss, train_accuracy, test_loss and test_accuracy, as
    `fit` gives them. `test_accuracy` is the last one, or None where the labels are no
    classes. `diverged` is the first step whose loss is not finite, or None. `rank` is
    1 for the best of the sweep.
    """

    seed: int
    hyperparameters: Numbers
    params: Params
    state: State
    history: list[dict[str, float]]
    test_accuracy: float | None
    diverged: int | None
    rank: int


@dataclass(frozen=True)
class Sweep:
    """What `sweep` returns; printed, it is a table of its members, best first.

    Attributes:
      members: all of them, in the order in which they were asked for.
      seconds: of training and testing, all members together, without compilation.
      compile_seconds: of setting up and compiling.
    """

    members: list[Member]
    seconds: float
    compile_seconds: float

    @property
    def best(self) -> Member:
        """The member with rank 1."""
        return self.ranking()[0]

    def ranking(self) -> list[Member]:
        """The members from the best to the worst.

        By test accuracy, and by test loss where that is equal or there is none. Those
        that diverged come last.
        """
        return sorted(self.members, key=lambda member: member.rank)

    def rows(self) -> list[dict[str, Any]]:
        """The ranking as plain data, ready for JSON: None stands for what is no number.

        Each row has rank, the hyperparameters, seed, test_accuracy, diverged and
        history.
        """
        return [
            {
                "rank": member.rank,
                **member.hyperparameters,
                "seed": member.seed,
                "test_accuracy": member.test_accuracy,
                "diverged": member.diverged,
                "history": [
                    {
                        name: value if math.isfinite(value) else None
                        for name, value in row.items()
                    }
                    for row in member.history
                ],
            }
            for member in self.ranking()
        ]

    def __str__(self) -> str:
        return "\n".join(_table(self.ranking()))


def settings(
    hyperparameters: Mapping[str, Sequence[float]] | Sequence[Mapping[str, float]],
    seeds: Sequence[int],
) -> list[tuple[int, Numbers]]:
    """Lists each member's seed and hyperparameters; the seeds of one come together.

    Args:
      hyperparameters: values by name, of which each combination is meant, or a list of
        dicts with the same names.
      seeds: those of each.

    Raises:
      ValueError: there are none, or they are no numbers, or names differ.
    """
    given = list(_given(hyperparameters))
    seeds = list(seeds)
    if not given or not seeds:
        raise ValueError(
            f"a sweep needs at least one member, got {len(given)} sets of "
            f"hyperparameters and {len(seeds)} seeds"
        )
    for seed in seeds:
        if not is_int(seed) or seed < 0:
            raise ValueError(f"seeds must be ints of at least 0, got {seed!r}")
    for numbers in given:
        if numbers.keys() != given[0].keys():
            raise ValueError(
                "all members need the same hyperparameters, got "
                f"{_names(given[0])} and {_names(numbers)}"
            )
        for name, value in numbers.items():
            if not is_number(value) or not math.isfinite(value):
                raise ValueError(
                    f"hyperparameters must be finite numbers, got {name}={value!r}; "
                    "what is no number needs a sweep for each of its values"
                )
    return [(int(seed), dict(numbers)) for numbers in given for seed in seeds]


def ranked(members: Sequence[Member]) -> list[Member]:
    """Gives each member its rank."""

    def badness(number: int) -> tuple[bool, float, float]:
        member = members[number]
        loss = member.history[-1]["test_loss"]
        return (
            member.diverged is not None,
            -(member.test_accuracy or 0.0),
            math.inf if math.isnan(loss) else loss,
        )

    order = sorted(range(len(members)), key=badness)
    ranks = {number: rank for rank, number in enumerate(order, 1)}
    return [member._replace(rank=ranks[n]) for n, member in enumerate(members)]


def _given(
    hyperparameters: Mapping[str, Sequence[float]] | Sequence[Mapping[str, float]],
) -> Iterator[Numbers]:
    if not isinstance(hyperparameters, Mapping):
        yield from map(dict, hyperparameters)
        return
    for name, values in hyperparameters.items():
        if not isinstance(values, Sequence) or isinstance(values, str):
            raise ValueError(f"{name} must be a list of values, got {values!r}")
    for values in product(*hyperparameters.values()):
        yield dict(zip(hyperparameters, values, strict=True))


def _names(numbers: Numbers) -> str:
    return ", ".join(numbers) or "none"


def _table(ranking: Sequence[Member]) -> Iterator[str]:
    """The lines of the table: names, then a line for each member."""
    first = ranking[0]
    measures = [name for name in SHOWN if name in first.history[-1]]
    titles = [name.replace("_", " ") for name in measures]
    lines = [["rank", *first.hyperparameters, "seed", *titles, ""]]
    for member in ranking:
        last = member.history[-1]
        values = [
            f"{last[name]:.2%}" if "accuracy" in name else f"{last[name]:.4g}"
            for name in measures
        ]
        numbers = [f"{value:.6g}" for value in member.hyperparameters.values()]
        fate = f"diverged at step {member.diverged:,}" if member.diverged else ""
        lines.append([str(member.rank), *numbers, str(member.seed), *values, fate])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for *cells, fate in lines:
        padded = (c.rjust(w) for c, w in zip(cells, widths[:-1], strict=True))
        yield "  ".join([*padded, fate]).rstrip()
