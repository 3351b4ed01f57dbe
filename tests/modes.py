"""The whole suite under other circumstances: python tests/modes.py [NAME ...].

Each mode is a run of pytest with other settings. Those that can fail together for one
reason only share a run, which tries fewer examples of each property than `make test`.
Arguments after -- go to pytest.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODES = {
    "64 bits": {"JAX_ENABLE_X64": "1"},
    "no jit": {"JAX_DISABLE_JIT": "1"},
    # Each random key once, no asserts (but pytest's), a home that cannot be written
    # (/dev/null is a file: nothing can be made in it, by root neither), and a path with
    # spaces and Unicode.
    "elsewhere": {
        "PYTHONOPTIMIZE": "1",
        "JAX_DEBUG_KEY_REUSE": "1",
        "HOME": "/dev/null",
        "XDG_CACHE_HOME": "",
    },
}


def main(arguments):
    names, _, options = " ".join(arguments).partition("--")
    chosen = [name for name in MODES if name in names] or list(MODES)
    failed = []
    for name in chosen:
        print(f"mode: {name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            place = ROOT
            if name == "elsewhere":
                place = Path(folder, "ein Ort für λ")
                copied(place)
            environment = {**os.environ, **MODES[name], "PYTHONPATH": str(place)}
            command = [sys.executable, "-m", "pytest", "-n", "auto"]
            command += ["-W", "ignore::pytest.PytestConfigWarning"]  # of -O
            command += ["--hypothesis-profile=brief", *options.split()]
            if subprocess.run(command, cwd=place, env=environment).returncode:  # noqa: S603
                failed.append(name)
    print(
        f"{len(chosen) - len(failed)} of {len(chosen)} modes pass", *failed, sep="\n  "
    )
    return 1 if failed else 0


def copied(place):
    """Copies what belongs to the repository."""
    listed = subprocess.run(  # noqa: S603
        [str(shutil.which("git")), "ls-files", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        target = place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
