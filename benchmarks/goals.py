"""What was to be reached, and what was."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchmarks.bursts import geometric_mean
from benchmarks.peers import OURS, PEERS

Results = Mapping[str, Any]
Row = Mapping[str, Any]


class Goal(NamedTuple):
    """One line of the list.

    Fields:
      what: what is measured.
      value: what came out, or None where it was not measured.
      at_least, at_most: what was to be reached; neither where the number is only shown.
      note: which peer it is measured against, or where it was found.
    """

    what: str
    value: float | None
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether it was reached; None where nothing was measured or asked."""
        if self.value is None or (self.at_least is None and self.at_most is None):
            return None
        if self.at_least is not None:
            return self.value >= self.at_least
        return self.at_most is not None and self.value <= self.at_most


def goals(results: Results) -> list[Goal]:
    """All goals, with what a run reached."""
    return [
        *_against(results, "torch", "the best PyTorch", 3.0, 2.0),
        *_against(results, "jax", "the best JAX peer", 5.0, 3.0),
        *_epochs(results),
        _scaling(results),
        _share(results),
        _resnet(results, "jax", "the best JAX peer", 1.3),
        _resnet(results, "torch", "the best PyTorch", None),
        _forward(results, 1),
        _forward(results, 1024),
        *_compiling(results),
        _worst("train_step / by hand in jax.jit", results.get("overhead", []), 1.02),
        _worst("step of ensemble(lenet, 16) / 16 single steps",
               results.get("ensemble", []), 0.8),
        _saving(results),
    ]  # fmt: skip


def best(rows: Sequence[Row], wanted: Callable[[str], bool]) -> Row | None:
    """The row of the fastest peer of a kind, or None."""
    found = [row for row in rows if row["peer"] != OURS and wanted(row["peer"])]
    return min(found, key=lambda row: row["median"]) if found else None


def rows_of(results: Results, part: str, **where: Any) -> list[Row]:
    """The rows of a part with these entries."""
    return [
        row
        for row in results.get(part, [])
        if all(row[name] == value for name, value in where.items())
    ]


def ratio(
    results: Results, part: str, wanted: Callable[[str], bool], **where: Any
) -> tuple[float, str] | None:
    """How many times as long the fastest peer of a kind takes, and its name."""
    rows = rows_of(results, part, **where)
    ours = [row for row in rows if row["peer"] == OURS]
    other = best(rows, wanted)
    if not ours or other is None:
        return None
    return other["median"] / ours[0]["median"], other["peer"]


def _family(name: str) -> Callable[[str], bool]:
    return lambda peer: PEERS[peer].family == name


def _against(
    results: Results, family: str, words: str, mean: float, each: float
) -> Iterator[Goal]:
    batches = sorted({row["batch"] for row in rows_of(results, "step", model="lenet")})
    found = {}
    for batch in batches:
        one = ratio(results, "step", _family(family), model="lenet", batch=batch)
        if one is not None:
            found[batch] = one[0]
    what = f"LeNet step: {words} / lenetjax"
    if not found:
        yield Goal(f"{what}, geometric mean", None, at_least=mean)
        yield Goal(f"{what}, at every batch", None, at_least=each)
        return
    at = ", ".join(map(str, found))
    worst = min(found, key=lambda batch: found[batch])
    value = geometric_mean(found.values())
    yield Goal(f"{what}, geometric mean", value, at_least=mean, note=f"batch {at}")
    yield Goal(
        f"{what}, at every batch", found[worst], at_least=each, note=f"batch {worst}"
    )


def _epochs(results: Results) -> Iterator[Goal]:
    for batch in (64, 256):
        found = ratio(results, "epoch", _family("torch"), batch=batch)
        value, note = found or (None, "")
        what = f"epoch of MNIST, batch {batch}: the best PyTorch loop / fit"
        yield Goal(what, value, at_least=3.0, note=note)


def _scaling(results: Results) -> Goal:
    rows = sorted(results.get("scaling", []), key=lambda row: row["batch"])
    what = "LeNet step: time per image, at most / at batch 64"
    if len(rows) < 2:
        return Goal(what, None, at_most=1.25)
    slowest = max(rows, key=lambda row: row["seconds_per_image"])
    value = slowest["seconds_per_image"] / rows[0]["seconds_per_image"]
    return Goal(what, value, at_most=1.25, note=f"batch {slowest['batch']}")


def peak(results: Results) -> float | None:
    """The fastest product of matrices, in GFLOP/s."""
    found = [row["gflops"] for row in results.get("peak", [])]
    return max(found) if found else None


def _share(results: Results) -> Goal:
    what = "LeNet step: share of the matrix-product peak, at the best batch"
    top = peak(results)
    rows = rows_of(results, "step", model="lenet", peer=OURS)
    if top is None or not rows:
        return Goal(what, None, at_least=0.35)
    fastest = max(rows, key=lambda row: row["gflops"])
    note = f"batch {fastest['batch']}, {fastest['gflops']:.0f} of {top:.0f} GFLOP/s"
    return Goal(what, fastest["gflops"] / top, at_least=0.35, note=note)


def _resnet(results: Results, family: str, words: str, at_least: float | None) -> Goal:
    found = ratio(results, "step", _family(family), model="resnet20", batch=64)
    value, note = found or (None, "")
    what = f"ResNet-20 step, batch 64: {words} / lenetjax"
    return Goal(what, value, at_least=at_least, note=note)


def _forward(results: Results, batch: int) -> Goal:
    found = ratio(results, "forward", lambda peer: True, model="lenet", batch=batch)
    value, note = found or (None, "")
    what = f"LeNet forward, batch {batch}: the best of all peers / lenetjax"
    return Goal(what, value, at_least=1.5, note=note)


def _compiling(results: Results) -> Iterator[Goal]:
    rows = results.get("compile", [])
    ours = [row for row in rows if row["peer"] == OURS]
    other = best(rows, lambda peer: True)
    what = "compiling the LeNet step: lenetjax / the fastest JAX peer"
    value, note = None, ""
    if ours and other:
        value, note = ours[0]["median"] / other["median"], other["peer"]
    yield Goal(what, value, at_most=1.5, note=note)
    second = rows_of(results, "cache", run=2)
    count = float(second[0]["compiled"]) if second else None
    yield Goal("programs that a second run compiles", count, at_most=0.0)


def _saving(results: Results) -> Goal:
    what = "checkpoint of LeNet's training, beyond writing its bytes, ms"
    rows = results.get("saving", [])
    if not rows:
        return Goal(what, None, at_most=5.0)
    over = {
        row["state"]: 1e3 * (row["save"]["median"] - row["write"]["median"])
        for row in rows
    }
    worst = max(over, key=lambda state: over[state])
    return Goal(what, over[worst], at_most=5.0, note=f"with {worst}")


def _worst(what: str, rows: Sequence[Row], at_most: float) -> Goal:
    if not rows:
        return Goal(what, None, at_most=at_most)
    worst = max(
        (row for row in rows if row.get("program") != "tiny net"),
        key=lambda row: float(row["ratio"]["median"]),
    )
    return Goal(
        what, worst["ratio"]["median"], at_most=at_most, note=worst.get("program", "")
    )
