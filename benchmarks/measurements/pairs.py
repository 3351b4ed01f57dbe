"""Two ways to do one thing, in one process: the ratio of their times."""

from typing import Any

from benchmarks.bursts import summary
from benchmarks.processes import Worker
from benchmarks.session import Session


def compare(
    session: Session, worker: Worker, ways: tuple[str, str], **arguments: Any
) -> dict[str, Any]:
    """Measures both in turns; the ratio is the median of the rounds' ratios.

    Two bursts of one round lie side by side, so that a machine that grows slower in
    the meantime leaves their ratio alone.

    Raises:
      Failure: the process did not answer.
    """
    options = session.options
    times: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(2 * options.rounds):
        for way in ways if number % 2 else ways[::-1]:
            answer = worker.ask(
                "step", 300, seconds=options.seconds, way=way, **arguments
            )
            times[way].append(answer["seconds"])
    one, other = (times[way] for way in ways)
    return {
        **{way: summary(times[way]) for way in ways},
        "ratio": summary(a / b for a, b in zip(one, other, strict=True)),
    }
