"""Trains a small net, and says what is saved: python trainer.py FOLDER."""

import sys

import jax
import numpy as np
import optax

import lenetjax as nn
from lenetjax.checkpoint import Folder

STEPS, EPOCHS = 40, 8  # in an epoch, and of them


class Telling(Folder):
    """Says what is saved, once it is."""

    def save(self, step, tree, metadata=None, *, score=None):
        super().save(step, tree, metadata, score=score)
        print(step, flush=True)


def main(path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, (STEPS, 16)).astype(np.int32)
    images = rng.normal(size=(STEPS, 16, 30)).astype(np.float32)
    net = nn.serial(fc1=nn.linear(20), drop=nn.dropout(0.3), fc2=nn.linear(10))
    folder = Telling(path, keep=2)
    result = nn.fit(
        net, optax.adam(0.01), list(zip(images, labels, strict=True)),
        epochs=EPOCHS, progress=False, checkpoints=folder, checkpoint_every=1,
    )  # fmt: skip
    print(
        "done", *(np.asarray(a).tobytes().hex() for a in jax.tree.leaves(result.params))
    )


if __name__ == "__main__":
    main(sys.argv[1])
