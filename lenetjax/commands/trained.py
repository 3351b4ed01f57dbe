"""What works on a trained net: lenetjax evaluate, predict, figures, check."""

import argparse
import sys
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np

from lenetjax import data
from lenetjax.checking import findings
from lenetjax.commands.sources import load
from lenetjax.gallery import pictures
from lenetjax.losses import cross_entropy
from lenetjax.runs import METRICS, open_run, read_rows, save_figure
from lenetjax.training import predict as predict_logits


def evaluate(options: argparse.Namespace) -> int:
    """Tests a trained net on the test images of its data."""
    run = open_run(options.run_dir)
    test = load(run.config["data"], options.data_dir).test
    logits = predict_logits(run.net, run.params, test.images, state=run.state)
    right = int((logits.argmax(-1) == test.labels).sum())
    loss = float(cross_entropy(jnp.asarray(logits), jnp.asarray(test.labels)))
    print(
        f"test accuracy {right / len(test.labels):.2%} "
        f"({right:,} of {len(test.labels):,}), test loss {loss:.4f}"
    )
    return 0


def predict(options: argparse.Namespace) -> int:
    """Prints the digit that the net sees in each image file.

    It goes on after a bad file; the exit status is 1 then.
    """
    run = open_run(options.run_dir)
    bad = 0
    for path in options.images:
        try:
            image = data.load_image(path, image_size=run.image_size)
        except (OSError, ValueError) as error:
            bad += 1
            why = getattr(error, "strerror", None) or " ".join(str(error).split())
            where = "" if str(path) in why else f"{path}: "
            print(f"lenetjax predict: {where}{why}", file=sys.stderr)
            continue
        logits = predict_logits(run.net, run.params, image[None], state=run.state)
        probabilities = np.asarray(jax.nn.softmax(jnp.asarray(logits[0])))
        digit = int(probabilities.argmax())
        print(f"{path}: {digit} ({probabilities[digit]:.1%})")
    return 1 if bad else 0


def figures(options: argparse.Namespace) -> int:
    """Draws all pictures of a trained net, and prints their paths."""
    need_matplotlib("figures")
    run = open_run(options.run_dir)
    found = load(run.config["data"], options.data_dir)
    rows = read_rows(options.run_dir / METRICS)
    folder = options.out or options.run_dir / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in pictures(run, rows, found):
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
