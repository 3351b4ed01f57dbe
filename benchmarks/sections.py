"""The tables that a run is told in, from its results."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks.bursts import geometric_mean
from benchmarks.goals import Goal, goals, peak, rows_of
from benchmarks.measurements.calls import STEPS
from benchmarks.peers import OURS, PEERS

Results = Mapping[str, Any]
NAMES = {"lenet": "LeNet", "lenet5": "LeNet-5", "resnet20": "ResNet-20"}


class Section(NamedTuple):
    """A table: a title, a line about it, and rows of cells, of which the first names
    the columns.
    """

    title: str
    about: str
    rows: list[list[str]]
    of_words: bool = False  # rather than of numbers, which stand to the right


def sections(results: Results) -> Iterator[Section]:
    """All tables for which there are results."""
    yield goal_table(results)
    models = [model for model in NAMES if rows_of(results, "step", model=model)]
    for model in models:
        yield times(results, "step", model)
        yield arithmetic(results, model)
    for model in NAMES:
        if rows_of(results, "forward", model=model):
            yield times(results, "forward", model)
    for model in models:
        yield costs(results, model)
    for part, table in PARTS.items():
        if results.get(part):
            yield table(results)


def goal_table(results: Results) -> Section:
    rows = [["what", "goal", "found", "", "where"]]
    for goal in goals(results):
        rows.append([goal.what, _wanted(goal), _found(goal), _verdict(goal), goal.note])
    return Section("Goals", "Ratios of medians within one run.", rows, of_words=True)


def _wanted(goal: Goal) -> str:
    if goal.at_least is not None:
        return f"at least {goal.at_least:g}"
    return "" if goal.at_most is None else f"at most {goal.at_most:g}"


def _found(goal: Goal) -> str:
    return "not measured" if goal.value is None else f"{goal.value:.3g}"


def _verdict(goal: Goal) -> str:
    return {None: "", True: "reached", False: "not reached"}[goal.reached]


def times(results: Results, part: str, model: str) -> Section:
    """Milliseconds by peer and batch, with the ratio to lenetjax."""
    rows = rows_of(results, part, model=model)
    batches = sorted({row["batch"] for row in rows})
    table = [["", *map(str, batches), "geometric mean"]]
    ours = {row["batch"]: row["median"] for row in rows if row["peer"] == OURS}
    for peer in PEERS:
        medians = {row["batch"]: row["median"] for row in rows if row["peer"] == peer}
        if not medians:
            continue
        ratios = {b: medians[b] / ours[b] for b in medians if b in ours}
        cells = [
            f"{digits(medians[b] * 1e3)} ({ratios[b]:.2f})"
            if b in ratios
            else digits(medians[b] * 1e3)
            if b in medians
            else "-"
            for b in batches
        ]
        whole = ratios and len(ratios) == len(batches)
        mean = f"{geometric_mean(ratios.values()):.2f}" if whole else "-"
        table.append([peer, *cells, mean])
    kind = "training step" if part == "step" else "forward pass"
    about = "Milliseconds by batch; in parentheses, how many times lenetjax's."
    return Section(f"{NAMES[model]}, {kind}", about, table)


def arithmetic(results: Results, model: str) -> Section:
    """Share of the machine's peak by peer and batch, or GFLOP/s where it is unknown."""
    rows = rows_of(results, "step", model=model)
    batches = sorted({row["batch"] for row in rows})
    top = peak(results)
    table = [["", *map(str, batches)]]
    for peer in PEERS:
        speeds = {row["batch"]: row["gflops"] for row in rows if row["peer"] == peer}
        if speeds:
            shown = {
                batch: f"{speed / top:.0%}" if top else f"{speed:.0f}"
                for batch, speed in speeds.items()
            }
            table.append([peer, *(shown.get(batch, "-") for batch in batches)])
    operations = results["flops"][model]["step"]
    of = f"share of {top:.0f} GFLOP/s" if top else "GFLOP/s"
    return Section(
        f"{NAMES[model]}, arithmetic of the training step",
        f"{operations:,} operations per image; {of}.",
        table,
    )


def costs(results: Results, model: str) -> Section:
    """Seconds to compile and memory by peer and batch."""
    rows = rows_of(results, "step", model=model)
    batches = sorted({row["batch"] for row in rows})
    table = [["", *map(str, batches)]]
    for peer in PEERS:
        cells = {
            row["batch"]: f"{row['compile_seconds']:.2f} / {megabytes(row)}"
            for row in rows
            if row["peer"] == peer
        }
        if cells:
            table.append([peer, *(cells.get(batch, "-") for batch in batches)])
    return Section(
        f"{NAMES[model]}, compile time and memory",
        "Seconds that the first step takes more than a later one / MB that the process "
        "grows by, at most, from when all is imported and loaded.",
        table,
    )


def megabytes(row: Mapping[str, Any]) -> str:
    size = row["memory_bytes"]
    return "-" if size is None else f"{size / 1e6:.0f}"


def peak_table(results: Results) -> Section:
    rows = results["peak"]
    sizes = sorted({row["size"] for row in rows})
    table = [["", *(f"{size} x {size}" for size in sizes)]]
    for library in dict.fromkeys(row["library"] for row in rows):
        speeds = {
            row["size"]: f"{row['gflops']:.0f}"
            for row in rows
            if row["library"] == library
        }
        table.append([library, *(speeds.get(size, "-") for size in sizes)])
    return Section("Products of matrices", "GFLOP/s in float32.", table)


def epoch_table(results: Results) -> Section:
    table = [["", "batch", "seconds", "times fit's", "mean loss"]]
    for row in sorted(results["epoch"], key=lambda row: row["batch"]):
        ours = rows_of(results, "epoch", peer=OURS, batch=row["batch"])
        ratio = f"{row['median'] / ours[0]['median']:.2f}" if ours else "-"
        name = "lenetjax.fit" if row["peer"] == OURS else row["peer"]
        seconds = digits(row["median"])
        table.append([name, str(row["batch"]), seconds, ratio, f"{row['loss']:.4f}"])
    about = "Shuffling and all but compilation counts; PyTorch's tensors are preloaded."
    return Section("An epoch of MNIST", about, table)


def scaling_table(results: Results) -> Section:
    rows = sorted(results["scaling"], key=lambda row: row["batch"])
    first = rows[0]["seconds_per_image"]
    table = [["batch", "microseconds per image", f"times batch {rows[0]['batch']}'s"]]
    for row in rows:
        each = row["seconds_per_image"]
        table.append([str(row["batch"]), digits(each * 1e6), f"{each / first:.2f}"])
    return Section("LeNet step, larger batches", "lenetjax alone.", table)


def overhead_table(results: Results) -> Section:
    table = [["", "train_step", "by hand", "ratio", "quartiles"]]
    for row in results["overhead"]:
        one, other, both = row["train_step"], row["by hand"], row["ratio"]
        table.append(
            [
                row["program"],
                digits(one["median"] * 1e3),
                digits(other["median"] * 1e3),
                f"{both['median']:.3f}",
                f"{both['q1']:.3f} to {both['q3']:.3f}",
            ]
        )
    return Section("train_step beside jax.jit", "Milliseconds, in one process.", table)


def calls_table(results: Results) -> Section:
    names = {"one": "a call for each", "many": "one call", "xla": "one call, XLA's own"}
    table = [["batch", "", "ms a step", "", "ms a step", "ratio"]]
    for row in results["calls"]:
        times = [digits(row[way]["median"] * 1e3 / STEPS) for way in row["ways"]]
        one, other = (names[way] for way in row["ways"])
        ratio = f"{row['ratio']['median']:.2f}"
        table.append([str(row["batch"]), one, times[0], other, times[1], ratio])
    about = (
        f"{STEPS} steps of LeNet on images that stay on the device, beside a call for "
        "each, and beside convolution and pooling as XLA does them."
    )
    return Section("Steps in one call", about, table)


def ensemble_table(results: Results) -> Section:
    table = [["members", "batch", "at once", "one by one", "ratio"]]
    for row in results["ensemble"]:
        one, other = row["ensemble"]["median"], row["singles"]["median"]
        table.append(
            [
                str(row["members"]),
                str(row["batch"]),
                digits(one * 1e3),
                digits(other * 1e3),
                f"{row['ratio']['median']:.2f}",
            ]
        )
    return Section("Ensemble", "Milliseconds for one step of all LeNets.", table)


def saving_table(results: Results) -> Section:
    table = [["optimizer", "bytes", "checkpoint", "bare file", "difference"]]
    for row in results["saving"]:
        one, other = row["save"]["median"] * 1e3, row["write"]["median"] * 1e3
        times = [digits(one), digits(other), f"{one - other:.2f}"]
        table.append([row["state"], f"{row['bytes']:,}", *times])
    about = "Milliseconds; both are flushed to the disk, and the one before is removed."
    return Section("Checkpoints of LeNet's training", about, table)


def compile_table(results: Results) -> Section:
    table = [["", "seconds", "quartiles"]]
    for row in results["compile"]:
        quartiles = f"{row['q1']:.2f} to {row['q3']:.2f}"
        table.append([row["peer"], f"{row['median']:.2f}", quartiles])
    about = f"LeNet step, batch {results['compile'][0]['batch']}, in fresh processes."
    return Section("Compile time", about, table)


def cache_table(results: Results) -> Section:
    table = [["run", "programs", "compiled", "seconds", "of compiling"]]
    for row in results["cache"]:
        counts = [str(row[name]) for name in ("run", "programs", "compiled")]
        table.append(
            [*counts, f"{row['seconds']:.2f}", f"{row['compile_seconds']:.2f}"]
        )
    about = "Two epochs of fit, twice, with JAX's persistent compilation cache."
    return Section("A second run", about, table)


def mnist99_table(results: Results) -> Section:
    table = [["", "mean seconds", "runs that reached it", "epochs"]]
    for row in results["mnist99"]:
        mean = "-" if row["mean"] is None else digits(row["mean"])
        epochs = sorted(run["epoch"] for run in row["runs"] if run["epoch"])
        span = f"{epochs[0]} to {epochs[-1]}" if epochs else "-"
        table.append([row["peer"], mean, f"{row['reached']} of {row['seeds']}", span])
    about = "From the first step until 99 % of the test images are right, by seeds."
    return Section("MNIST to 99 %", about, table)


def devices_table(results: Results) -> Section:
    table = [["", "way", "devices", "communication", "MFLOP of each"]]
    for row in results["devices"]:
        told = [
            f"{found['count']} {kind}, {found['bytes']:,} bytes"
            for kind, found in row["collectives"].items()
        ]
        where = [NAMES[row["model"]], row["way"], str(row["devices"])]
        table.append([*where, "; ".join(told) or "-", f"{row['flops'] / 1e6:.1f}"])
    about = (
        f"The compiled training step, with {results['devices'][0]['for_each']} images "
        "for each emulated device; the bytes are those of the results."
    )
    return Section("A batch split over devices", about, table, of_words=True)


def split_table(results: Results) -> Section:
    table = [["", "way", "batch", "one device", "two", "one / two"]]
    for row in results["split"]:
        times = [digits(row[name]["median"] * 1e3) for name in ("one", "two")]
        where = [NAMES[row["model"]], row["way"], str(row["batch"])]
        table.append([*where, *times, f"{row['ratio']['median']:.2f}"])
    about = "Milliseconds of a step; the emulated devices share the same cores."
    return Section("One device and two", about, table)


def all_reduce_table(results: Results) -> Section:
    ways = ("all-reduce", "nothing")
    table = [["bytes", "all-reduce", "a program without"]]
    for size in sorted({row["bytes"] for row in results["all_reduce"]}):
        found = [rows_of(results, "all_reduce", bytes=size, way=way) for way in ways]
        times = [digits(rows[0]["median"] * 1e6) if rows else "-" for rows in found]
        table.append([f"{size:,}", *times])
    return Section("All-reduce on two devices", "Microseconds, emulated.", table)


PARTS = {
    "epoch": epoch_table,
    "mnist99": mnist99_table,
    "scaling": scaling_table,
    "overhead": overhead_table,
    "calls": calls_table,
    "ensemble": ensemble_table,
    "saving": saving_table,
    "devices": devices_table,
    "split": split_table,
    "all_reduce": all_reduce_table,
    "compile": compile_table,
    "cache": cache_table,
    "peak": peak_table,
}


def digits(value: float) -> str:
    """A positive number to three digits, without an exponent."""
    for limit, places in ((0.1, 4), (1, 3), (10, 2), (100, 1)):
        if value < limit:
            return f"{value:.{places}f}"
    return f"{value:,.0f}"
