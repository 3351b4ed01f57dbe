"""Many processes on the loopback interface: the numbers of one, and what goes wrong."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import job_of_processes as job
import numpy as np
import pytest

import lenetjax as nn

JOB = Path(job.__file__)
MINUTE = 60
PATIENCE = 10 * MINUTE  # of these tests, on a machine with other work


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def started(commands, environment):
    return [
        subprocess.Popen(  # noqa: S603
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
        )
        for command in commands
    ]


def ended(running):
    """Exit status and output of each; none is left behind."""
    try:
        texts = [process.communicate(timeout=PATIENCE)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    return [(process.returncode, t) for process, t in zip(running, texts, strict=True)]


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.variant)])
def test_processes_compute_what_one_does(count, tmp_path):
    """A dataset, shares of ready-made batches, and params split between them."""
    port = free_port()
    together = [str(JOB), str(port), str(count)]
    commands = [[*together, str(i), str(tmp_path)] for i in range(count)]

    results = ended(started(commands, {}))

    assert [status for status, _ in results] == [0] * count, results
    alone = job.train(job.data())
    in_order = job.train(job.shares(0, 1))
    for name, expected in (("data", alone), ("shares", in_order), ("split", alone)):
        leaves = {**nn.flat(expected.params), **nn.flat(expected.state)}
        for index in range(count):
            found = np.load(tmp_path / f"{name}-{index}.npz")
            assert set(found) == set(leaves)
            for path, leaf in leaves.items():
                np.testing.assert_allclose(
                    found[path], leaf, rtol=1e-4, atol=1e-6, err_msg=f"{name} {path}"
                )


class Program:
    """`lenetjax train` in two processes."""

    def __init__(self, out):
        self.out = out
        self.options = ["--model", "mlp", "--epochs", "30", "--batch-size", "64"]

    def start(self, count=2):
        port = free_port()
        command = ["-m", "lenetjax", "train", "--out", str(self.out), *self.options]
        together = ["--coordinator", f"127.0.0.1:{port}", "--processes", str(count)]
        commands = [[*command, *together, "--process-id", str(i)] for i in range(count)]
        return started(commands, {"JAX_ENABLE_COMPILATION_CACHE": "0"})

    def epochs(self):
        try:
            return len((self.out / "metrics.jsonl").read_text().splitlines())
        except OSError:
            return 0

    def wait_for_epochs(self, count, running):
        limit = time.monotonic() + PATIENCE
        while self.epochs() < count:
            assert all(process.poll() is None for process in running), ended(running)
            assert time.monotonic() < limit
            time.sleep(0.02)

    def weights(self):
        return nn.checkpoint.load(self.out / "model.safetensors")


@pytest.mark.variant
def test_processes_stop_fail_and_go_on_together(tmp_path):
    """SIGTERM to one, then SIGKILL to one; in the end, the weights of a quiet run."""
    quiet, disturbed = Program(tmp_path / "quiet"), Program(tmp_path / "disturbed")
    results = ended(quiet.start())
    assert [status for status, _ in results] == [0, 0], results
    assert "on 2 devices of 2 processes" in results[0][1]
    assert "test accuracy" not in results[1][1]

    running = disturbed.start()
    disturbed.wait_for_epochs(2, running)
    running[1].send_signal(signal.SIGTERM)
    results = ended(running)
    assert [status for status, _ in results] == [143, 143], results
    assert all("stopped, saved at step" in text for _, text in results), results

    running = disturbed.start()
    disturbed.wait_for_epochs(disturbed.epochs() + 2, running)
    running[1].kill()
    killed = time.monotonic()
    results = ended(running)
    assert time.monotonic() - killed < MINUTE
    status, text = results[0]
    assert status in (2, -signal.SIGABRT), text
    assert "lost another, which was killed or failed; start all" in text or (
        "most likely indicates that another task died" in text  # JAX was the first
    ), text

    assert [status for status, _ in ended(disturbed.start())] == [0, 0]
    expected, found = nn.flat(quiet.weights()), nn.flat(disturbed.weights())
    assert set(found) == set(expected)
    for path, leaf in expected.items():
        np.testing.assert_array_equal(found[path], leaf, err_msg=path)
    rows = (disturbed.out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["epoch"] for row in rows] == list(range(1, 31))


@pytest.mark.parametrize(
    "options",
    [["--processes", "2"], ["--coordinator", "127.0.0.1:1", "--processes", "2"]],
)
def test_what_belongs_together_is_said(options, capsys):
    from lenetjax.cli import main

    assert main(["train", *options]) == 2
    assert "--process-id I belong together" in capsys.readouterr().err
