"""SIGTERM and SIGINT, noted and answered when it suits."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(SystemExit):
    """SIGTERM came, and all is saved; the exit status is 143."""

    def __init__(self, saved: str) -> None:
        super().__init__(128 + signal.SIGTERM)
        self.saved = saved


class Interruption:
    """Whether, and by which signal, this process was asked to stop.

    A signal counts once it is agreed on with the other processes of a training; alone,
    that is when somebody looks.
    """

    def __init__(self) -> None:
        self.came: int | None = None
        self.signal: int | None = None

    def wish(self) -> int:
        """What to tell the others: above 1 where a signal came, else 0."""
        return 0 if self.came is None else 1 + self.came

    def follow(self, wish: int) -> None:
        """Takes over the signal of a wish that was agreed on, if it is one."""
        if wish > 1:
            self.signal = wish - 1

    def raise_if_any(self, saved: str) -> None:
        """Ends the program as the signal asks for, once all is saved.

        Raises:
          KeyboardInterrupt: it was SIGINT.
          Terminated: it was SIGTERM.
        """
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt(saved)
        if self.signal is not None:
            raise Terminated(saved)


@contextlib.contextmanager
def noticed() -> Iterator[Interruption]:
    """Notes the first signal; a second one acts as it would have without this.

    Only the main thread can ask for signals; elsewhere none is noted.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def restore() -> None:
        for number, handler in before.items():
            if handler is not None:  # None: it was not set from Python
                signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        interruption.came = number
        restore()

    for number in SIGNALS:
        if before[number] not in (None, signal.SIG_IGN):
            signal.signal(number, note)
    try:
        yield interruption
    finally:
        restore()
