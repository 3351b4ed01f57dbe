"""One run of the command: its options, its processes, and what it has found."""

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.options import Options
from benchmarks.peers import OURS, PEERS
from benchmarks.processes import Failure, Worker

Row = dict[str, Any]


class Session:
    """What the measurements share.

    Attributes:
      results: a list of rows for each part, ready to be written as JSON.
      left_out: what was not measured, and why.
      errors: what went wrong beyond that: a peer that computes something else.
    """

    def __init__(self, options: Options, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.results: dict[str, list[Row]] = {}
        self.left_out: list[dict[str, str]] = []
        self.errors: list[str] = []
        self.flops: dict[str, dict[str, int]] = {}
        self.device = ""
        self._caches = 0
        self._started = time.monotonic()

    def prepare(self) -> None:
        """Draws the values that all start from.

        Raises:
          Failure: lenetjax does not run here.
        """
        with self.worker("values", "jax", path=str(self.values)) as worker:
            self.flops = worker.greeting["flops"]
            self.device = worker.greeting["device"]

    @property
    def values(self) -> Path:
        return self.folder / "values.npz"

    def add(self, part: str, row: Row) -> None:
        """Notes a result."""
        self.results.setdefault(part, []).append(row)

    def leave_out(self, what: str, where: str, why: str) -> None:
        """Notes, and says, what could not be measured."""
        entry = {"what": what, "where": where, "why": why}
        if entry not in self.left_out:
            self.left_out.append(entry)
            self.say(f"left out: {what} ({where}): {why}")

    def say(self, text: str) -> None:
        """Shows how far it has come."""
        passed = time.monotonic() - self._started
        print(f"[{passed:5.0f} s] {text}", file=sys.stderr, flush=True)

    def worker(
        self, job: str, family: str, *, variables: dict[str, str] | None = None,
        **spec: Any,
    ) -> Worker:  # fmt: skip
        """Starts a process with a job.

        Args:
          job: the module in `benchmarks.jobs`.
          family: "jax" or "torch", the library that it is going to use.
          variables: of the environment, on top of the usual ones.
          spec: what the job is told.

        Raises:
          Failure: it could not prepare the job.
        """
        options = self.options
        full = {
            "job": job,
            "family": family,
            "platform": options.platform,
            "precision": options.precision,
            "threads": options.threads,
            "values": str(self.values),
            **spec,
        }
        return Worker(full, self._environment() | (variables or {}))

    @contextmanager
    def workers(
        self, where: str, specs: Mapping[str, dict[str, Any]]
    ) -> Iterator[dict[str, Worker]]:
        """Starts processes one after the other, and ends them all.

        Args:
          where: the measurement; what cannot be started is left out there.
          specs: the arguments of `worker`, by the name to keep it under.
        """
        with ExitStack() as stack:
            started = {}
            for name, spec in specs.items():
                try:
                    started[name] = stack.enter_context(self.worker(**spec))
                except Failure as failure:
                    self.leave_out(name, where, str(failure))
            yield started

    def installed(self, *families: str) -> list[str]:
        """The peers of these families asked for; those not installed are left out."""
        found = []
        for name in self.options.peers:
            peer = PEERS[name]
            if name != OURS and peer.family not in families:
                continue
            if why := peer.missing():
                self.leave_out(name, "everywhere", why)
            else:
                found.append(name)
        return found

    def kept_programs(self) -> dict[str, str]:
        """The variables with which JAX keeps what it compiles, for this run."""
        return {
            "JAX_ENABLE_COMPILATION_CACHE": "true",
            "JAX_COMPILATION_CACHE_DIR": str(self.folder / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        }

    def _environment(self) -> dict[str, str | None]:
        """What must be set before a process starts."""
        self._caches += 1
        return {
            "JAX_PLATFORMS": "cuda" if self.options.platform == "gpu" else "cpu",
            # Compiling is measured, so nothing may be found from an earlier run.
            "JAX_ENABLE_COMPILATION_CACHE": "false",
            "JAX_COMPILATION_CACHE_DIR": None,
            "TORCHINDUCTOR_CACHE_DIR": str(self.folder / f"inductor{self._caches}"),
            # Many processes share one GPU.
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "OMP_NUM_THREADS": str(self.options.threads),
        }


@contextmanager
def new_session(options: Options) -> Iterator[Session]:
    """A session with a folder that disappears with it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Session(options, Path(folder))
