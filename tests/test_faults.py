"""What happens when the power fails, the disk is full, or two write at once.

`make test-faults` does at length what `make test` does briefly.
"""

import os
import platform
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from lenetjax.checkpoint import Folder

AT_LENGTH = "LENETJAX_FAULTS" in os.environ
KILLS = 200 if AT_LENGTH else 4
RACES = 50 if AT_LENGTH else 5
FAULTS = Path(__file__).parent / "faults"


def start(name, *arguments, **options):
    return subprocess.Popen(  # noqa: S603
        [sys.executable, str(FAULTS / f"{name}.py"), *map(str, arguments)],
        stdout=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


def test_a_killed_training_loses_nothing(tmp_path):
    """SIGKILL at random moments, with a save at every step.

    What was said to be saved is there and whole, nothing else is left, and the end is
    that of an uninterrupted training, bit for bit.
    """
    with start("trainer", tmp_path / "whole") as whole:
        end = whole.stdout.readlines()[-1]
    draw = np.random.default_rng(0)
    kills = finished = 0
    while kills < KILLS or finished == 0:
        path = tmp_path / f"killed {finished}"
        with start("trainer", path) as run:
            told = [run.stdout.readline()]  # the first save: what is before is no test
            if kills < KILLS and "done" not in told[0]:
                time.sleep(draw.uniform(0, 0.4))
                run.kill()
            told += run.stdout.readlines()
        if run.returncode == 0:
            assert told[-1] == end
            finished += 1
            assert sorted(os.listdir(path)) == [
                "step-000000319.safetensors", "step-000000320.safetensors",
            ]  # fmt: skip
            continue
        assert run.returncode == -signal.SIGKILL
        kills += 1
        saved = max(int(line) for line in told if line.strip().isdigit())
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a damaged one would be passed over
            assert Folder(path).load().step in (saved, saved + 1)
        for step in Folder(path).steps():
            assert Folder(path).load(step=step).step == step


def test_hostile_files_cost_little(tmp_path):
    """Each is refused within a second, all of them within 64 MB."""
    with start("reader", tmp_path / "file") as run:
        *files, last = [line.rstrip("\n").split("\t") for line in run.stdout]

    assert run.returncode == 0
    assert len(files) > 150
    assert [name for name, seconds in files if seconds == "None"] == []
    assert max(float(seconds) for _, seconds in files) < 1
    assert int(last[1]) < 64e6


def test_a_refused_system_call_leaves_the_old_checkpoint(tmp_path):
    """Each call of a save fails in turn: an OSError that names the file, no part of a
    file, nothing beside it."""
    if platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("the numbers of the system calls are known for x86-64 and ARM only")
    with start("syscalls", tmp_path, stderr=subprocess.DEVNULL) as run:
        lines = [line.split() for line in run.stdout.read().splitlines()]
    assert run.returncode == 0
    assert len(lines) == 5 * 4
    for call, error, status, value, *left in lines:
        assert status == "3", (call, error)
        assert value == "0", (call, error)
        assert left == ["m.safetensors"], (call, error)


def test_a_full_disk_ends_a_training_in_one_line(tmp_path):
    """A file may not grow beyond 100 kB: the first checkpoint of this net does."""
    arguments = ["train", "--model", "mlp", "--epochs", "2"]
    program = (
        "import resource, sys; from lenetjax.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"sys.exit(main({[*arguments, '--out', str(tmp_path / 'run')]!r}))"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program], capture_output=True, text=True
    )

    last = done.stderr.splitlines()[-1]
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert last.startswith("lenetjax train: File too large while writing ")
    assert sorted(os.listdir(tmp_path / "run")) == ["checkpoints", "config.json"]
    assert os.listdir(tmp_path / "run" / "checkpoints") == []


def test_two_writers_do_not_mix(tmp_path):
    """Both start in the same moment: one writes, the other is told who does, or comes
    later and finds a folder in order."""
    told = []
    with (
        start("racer", 1, stdin=subprocess.PIPE) as one,
        start("racer", 2, stdin=subprocess.PIPE) as two,
    ):
        for race in range(RACES):
            path = tmp_path / str(race)
            path.mkdir()
            wait = 5 if race == 0 else 0.05  # at first they import
            for racer in (one, two):
                racer.stdin.write(f"{time.time() + wait} {path}\n")
                racer.stdin.flush()
            answers = [racer.stdout.readline().strip() for racer in (one, two)]
            told += answers
            for answer, other in zip(answers, (two, one), strict=True):
                wrote = answer == "wrote"
                assert wrote or f"in use by process {other.pid} on" in answer
            assert "wrote" in answers
            trees = [
                Folder(path).load(step=s).tree["who"] for s in Folder(path).steps()
            ]
            assert (
                len({int(v) for tree in trees for v in (tree.min(), tree.max())}) == 1
            )
            assert not [name for name in os.listdir(path) if name.startswith(".")]
        one.stdin.close()
        two.stdin.close()
    assert (one.returncode, two.returncode) == (0, 0)
    assert sum("in use" in answer for answer in told) > 0


@pytest.mark.parametrize("count", range(5 if AT_LENGTH else 1))
def test_sigterm_ends_a_run_with_a_checkpoint(tmp_path, count):
    """Status 143; at length: within two seconds, from anywhere in the training."""
    path = tmp_path / "run"
    arguments = ["train", "--model", "mlp", "--epochs", "1000", "--out", str(path)]
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "lenetjax", *arguments],
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        for line in run.stderr:
            if line.startswith(f"epoch   {count + 1}/"):
                break
        time.sleep(0.05 * count)
        started = time.monotonic()
        run.terminate()
        last = run.stderr.read().splitlines()[-1]
    seconds = time.monotonic() - started

    steps = Folder(path / "checkpoints").steps()
    assert run.returncode == 143
    assert last.startswith(f"lenetjax train: stopped, saved at step {steps[-1]} in ")
    assert Folder(path / "checkpoints").load().step == steps[-1]
    if AT_LENGTH:
        assert seconds < 2
