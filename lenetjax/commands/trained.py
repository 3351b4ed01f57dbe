"""What works on a trained net: lenetjax evaluate, predict, figures, check."""

import argparse
import sys
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax import data
from lenetjax.checking import findings
from lenetjax.commands.sources import data_of, source
from lenetjax.gallery import pictures
from lenetjax.losses import cross_entropy
from lenetjax.runs import METRICS, TrainedRun, open_run, read_rows, save_figure
from lenetjax.specs import shapes_text
from lenetjax.training import predict as predict_logits
from lenetjax.training import predict_step

BATCH = 256  # examples to test at once


def evaluate(options: argparse.Namespace) -> int:
    """Tests a trained net on the test part of its data."""
    run = open_run(options.run_dir)
    test = data_of(run, options.data_dir).test
    step = predict_step(run.net)
    right, loss = 0, 0.0
    # By batches: the scores of all characters of a text would not fit the memory.
    for images, labels in data.batches(test, BATCH):
        logits = step(run.params, run.state, images)
        right += int((logits.argmax(-1) == labels).sum())
        loss += float(cross_entropy(logits, jnp.asarray(labels), reduction="sum"))
    total = test.labels.size
    print(
        f"test accuracy {right / total:.2%} ({right:,} of {total:,}), "
        f"test loss {loss / total:.4f}"
    )
    return 0


def predict(options: argparse.Namespace) -> int:
    """Prints what the net sees in each image file: a digit, or a piece of clothing.

    It goes on after a bad file; the exit status is 1 then.
    """
    run = open_run(options.run_dir)
    size = _side_of_gray_images(run)
    names = source(run.config["data"]).classes
    bad = 0
    for path in options.images:
        try:
            image = data.load_image(path, image_size=size)
        except (OSError, ValueError) as error:
            bad += 1
            why = getattr(error, "strerror", None) or " ".join(str(error).split())
            where = "" if str(path) in why else f"{path}: "
            print(f"lenetjax predict: {where}{why}", file=sys.stderr)
            continue
        logits = predict_logits(run.net, run.params, image[None], state=run.state)
        probabilities = np.asarray(jax.nn.softmax(jnp.asarray(logits[0])))
        number = int(probabilities.argmax())
        seen = names[number] if names else number
        print(f"{path}: {seen} ({probabilities[number]:.1%})")
    return 1 if bad else 0


def _side_of_gray_images(run: TrainedRun) -> int:
    shape: tuple[int, ...] = run.example.shape[1:]
    if len(shape) == 3 and shape[2] == 1 and run.vocabulary is None:
        return shape[0]
    raise ValueError(
        f"predict reads gray images, and a net trained on {run.config['data']} takes "
        f"{shapes_text(run.example)}; lenetjax evaluate tests it"
    )


def figures(options: argparse.Namespace) -> int:
    """Draws all pictures of a trained net, and prints their paths."""
    need_matplotlib("figures")
    run = open_run(options.run_dir)
    classes = source(run.config["data"]).classes
    found = data_of(run, options.data_dir)
    rows = read_rows(options.run_dir / METRICS)
    folder = options.out or options.run_dir / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in pictures(run, rows, found, classes):
        path = folder / f"{name}.png"
        save_figure(path, figure)
        print(path, flush=True)
    return 0


def check(options: argparse.Namespace) -> int:
    """Prints what is in a run or a file, and whether it is whole."""
    status = 0
    for found in findings(options.path):
        if found.bad:
            status = 1
            print(f"lenetjax check: {found.text}", file=sys.stderr)
        else:
            print(found.text)
    return status


def need_matplotlib(command: str) -> None:
    """Refuses a command that draws pictures where nothing can draw them."""
    if find_spec("matplotlib") is None:
        raise ImportError(f'{command} draws pictures: pip install "lenetjax[train]"')
