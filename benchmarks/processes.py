"""Starts the processes that are measured, asks them, and ends them in every case."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class Failure(Exception):
    """A process could not do what it was asked; the message says why, on one line."""


class Worker:
    """A process with one job.

    Args:
      spec: what it is told first; "job" names a module of `benchmarks.jobs`.
      environment: variables on top of ours; None removes one.
      timeout: seconds to wait for its preparations.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        environment: dict[str, str | None],
        timeout: float = 600,
    ) -> None:
        self.spec = spec
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (see close)
        self._unread = b""
        both = dict(os.environ) | environment
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            cwd=ROOT,
            env={name: value for name, value in both.items() if value is not None},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            start_new_session=True,  # so that its own children can be ended with it
        )
        try:
            self.greeting = self._exchange(spec, timeout)
        except BaseException:
            self.close()
            raise

    def ask(self, do: str, timeout: float = 120, **arguments: Any) -> dict[str, Any]:
        """Asks for something and waits for the answer.

        Raises:
          Failure: the process ended, answered with an error, or took too long.
        """
        return self._exchange({"do": do, **arguments}, timeout)

    def close(self) -> None:
        """Ends the process, and those it has started."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _exchange(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        assert self._process.stdin is not None  # noqa: S101
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise Failure(self._how_it_ended()) from None
        answer: dict[str, Any] = json.loads(self._line(timeout))
        if "error" in answer:
            raise Failure(str(answer["error"]))
        return answer

    def _line(self, timeout: float) -> bytes:
        assert self._process.stdout is not None  # noqa: S101
        deadline = time.monotonic() + timeout
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self._process.stdout], [], [], left)[0]
            if not ready:
                raise Failure(f"gave no answer within {timeout:.0f} s")
            part = os.read(self._process.stdout.fileno(), 65536)
            if not part:
                raise Failure(self._how_it_ended())
            self._unread += part
        line, self._unread = self._unread.split(b"\n", 1)
        return line

    def _how_it_ended(self) -> str:
        try:
            status = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "closed its output and went on"
        why = f"ended with status {status}"
        if status < 0:
            name = signal.Signals(-status).name
            hint = " (out of memory?)" if name == "SIGKILL" else ""
            why = f"was ended by {name}{hint}"
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return f"{why}: {said[-1][:200]}" if said else why
