"""lenetjax sweep."""

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import jax
import optax

from lenetjax import inspection
from lenetjax.checkpoint.files import write_whole
from lenetjax.commands.chosen import Chosen, choose
from lenetjax.commands.optimizers import USUAL, WITH_MOMENTUM, optimizer
from lenetjax.commands.training import new_folder
from lenetjax.members import Sweep
from lenetjax.runs import Run, save_figure
from lenetjax.sweeping import sweep as sweep_members

ROWS, CURVES, BEST = "sweep.jsonl", "curves.png", "best"


def sweep(options: argparse.Namespace) -> int:
    """Trains a net many times at once, and prints and leaves the ranking."""
    chosen = choose(options)
    kind, found, _, net = chosen
    if options.momentums and options.optimizer not in WITH_MOMENTUM:
        raise ValueError(f"{options.optimizer} has no --momentums")
    folder = options.out or new_folder(options.data, f"{options.model}-sweep")
    if taken := [name for name in (ROWS, BEST) if (folder / name).exists()]:
        raise ValueError(
            f"{folder} holds a sweep already ({', '.join(taken)}); give another --out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    training = {
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "optimizer": options.optimizer,
        "momentum": 0.9,
        "skip_nonfinite": 0,
    }
    batches = math.ceil(len(found.train.labels) / training["batch_size"])
    steps = training["epochs"] * batches
    numbers = {"learning_rate": options.learning_rates}
    if options.momentums:
        numbers["momentum"] = options.momentums

    def optimizer_of(**given: Any) -> optax.GradientTransformation:
        return optimizer({**USUAL, **training, **given}, steps)

    count = math.prod(map(len, numbers.values())) * options.seeds
    devices = jax.local_devices()
    print(
        f"{options.model} on {options.data}, {count} to train at once: "
        f"{len(found.train.labels):,} {kind.examples} to train on, "
        f"{len(found.test.labels):,} to test, on {len(devices)} x "
        f"{devices[0].device_kind} ({devices[0].platform})",
        file=sys.stderr,
    )
    result = sweep_members(
        net,
        optimizer_of,
        numbers,
        found,
        seeds=range(options.seeds),
        epochs=training["epochs"],
        batch_size=training["batch_size"],
    )
    _save(folder, result, chosen, training, options)
    print(
        f"{result}\n{result.seconds:.1f} s of training, "
        f"{result.compile_seconds:.1f} s of compiling\nsaved in {folder}"
    )
    if result.best.diverged:
        raise ArithmeticError(
            "the loss of every member became infinite or NaN; lower the "
            f"--learning-rates, of which {min(options.learning_rates):g} is the lowest"
        )
    return 0


def _save(
    folder: Path,
    result: Sweep,
    chosen: Chosen,
    training: dict[str, Any],
    options: argparse.Namespace,
) -> None:
    """Writes the ranking, the curves, and the best as a run of its own."""
    lines = [json.dumps(row, allow_nan=False) + "\n" for row in result.rows()]
    write_whole(folder / ROWS, "".join(lines).encode())
    picture = inspection.figures.sweep_curves(result.members, by="learning_rate")
    save_figure(folder / CURVES, picture)
    best = result.best
    if best.diverged:
        return
    run = Run(
        folder / BEST,
        chosen.net,
        chosen.kind.shape,
        model=options.model,
        data=options.data,
        training={**training, **best.hyperparameters, "seed": best.seed},
        dtype=chosen.kind.dtype,
        vocabulary=chosen.vocabulary,
    )
    with run.writing(anew=True):
        run.save_history(best.history)
        run.save(best.params, best.state)
