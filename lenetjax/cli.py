"""The command line: train a LeNet, test it, read digits, look inside, export."""

import argparse
import os
import sys
from collections.abc import Sequence

from lenetjax.options import parser as parser_of_options
from lenetjax.user_cache import keep_programs

# How a training of many processes ends in all of them: well, or by a signal.
AGREED = (0, 130, 143)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status.

    0; 1 where the command found something wrong or the training failed; 2 for a user's
    slip or a file that cannot be used; 130 and 143 after SIGINT and SIGTERM.

    Everything heavy is imported by the commands, so that --help answers at once.
    """
    parser = parser_of_options(str(__doc__))
    options, unknown = parser.parse_known_args(arguments)
    if unknown:  # argparse itself would point to the help that lists no options
        command = f"{parser.prog} {options.command}"
        slip = f"unrecognized arguments: {' '.join(unknown)}"
        parser.exit(2, f"{command}: {slip} (see {command} --help)\n")
    if options.platform:
        os.environ["JAX_PLATFORMS"] = options.platform
    keep_programs()
    status = _run(options)
    if getattr(options, "coordinator", None) and status not in AGREED:
        from lenetjax import processes

        if processes.together():
            processes.leave(status)
    return status


def _run(options: argparse.Namespace) -> int:
    try:
        _join(options)
        if options.platform:
            _need_platform(options.platform)
        from lenetjax import commands

        status: int = getattr(commands, options.command)(options)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt as interrupt:
        return _say(options, f"interrupted{_saved(str(interrupt))}", 130)
    except SystemExit as stop:  # by SIGTERM
        return _say(options, f"stopped{_saved(getattr(stop, 'saved', ''))}", 143)
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        _drop_output()
        return 1
    except OSError as error:
        _drop_output()
        file = f": {error.filename}" if error.filename else ""
        return _say(options, f"{error.strerror or error}{file}", 2)
    except (ArithmeticError, MemoryError) as error:
        return _say(options, " ".join(str(error).split()) or repr(error), 1)
    except (ValueError, ImportError, RuntimeError) as error:
        return _say(options, " ".join(str(error).split()), 2)


def _join(options: argparse.Namespace) -> None:
    """Makes devices of the CPU and joins other processes, before JAX computes."""
    together = ("coordinator", "processes", "process_id")
    given = [name for name in together if getattr(options, name, None) is not None]
    if given and len(given) < 3 and getattr(options, "coordinator", None) != "auto":
        raise ValueError(
            "--coordinator HOST:PORT, --processes N and --process-id I belong together"
        )
    if isinstance(getattr(options, "devices", None), int):
        import jax

        jax.config.update("jax_num_cpu_devices", options.devices)
    if given:
        from lenetjax.processes import join

        join(options.coordinator, options.processes, options.process_id)


def _need_platform(name: str) -> None:
    import jax

    try:
        jax.devices()
    except RuntimeError as error:
        raise RuntimeError(
            f"--platform {name}: JAX finds none here; leave the option out, or install "
            f'"lenetjax[cuda13]", "lenetjax[cuda12]" or "lenetjax[tpu]". {error}'
        ) from None


def _drop_output() -> None:
    """Keeps Python from trying once more, at its end, what could not be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _saved(saved: str) -> str:
    return f", {saved}; with --out RUN_DIR the same command goes on" if saved else ""


def _say(options: argparse.Namespace, message: str, status: int) -> int:
    print(f"lenetjax {options.command}: {message}", file=sys.stderr)
    return status
