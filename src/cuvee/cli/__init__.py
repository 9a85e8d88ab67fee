"""The command line: one command a verb, no logic of its own."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Callable

__all__ = ["main"]


def main() -> None:
    """Run the command line; the user's mistakes become one sentence and an exit code, never a traceback."""
    from cuvee.cli.app import app

    sys.exit(_exit_code(lambda: app(prog_name="cuvee", standalone_mode=False)))


def _exit_code(run: Callable[[], object]) -> int:
    import typer

    from cuvee.errors import EXIT_ENVIRONMENT, EXIT_INTERRUPTED, EXIT_OK, EXIT_USER, CuveeError

    try:
        code = run()
    except CuveeError as error:
        return _say(error.message, error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        return _say(f"the system says: {error.strerror or error}{where}.", EXIT_ENVIRONMENT)
    except Exception as error:
        if hasattr(error, "format_message"):  # what the parser of the command line did not understand
            return _say(_usage(error), EXIT_USER)
        with tempfile.NamedTemporaryFile("w", prefix="cuvee-", suffix=".txt", delete=False) as report:
            report.write(f"{' '.join(sys.argv)}\n\n{traceback.format_exc()}")
        message = f"unexpected {type(error).__name__}: {error}; please report it with {report.name}."
        return _say(message, EXIT_ENVIRONMENT)
    if code == EXIT_INTERRUPTED:
        return _say("interrupted; run again to go on from here.", EXIT_INTERRUPTED)
    return code if isinstance(code, int) else EXIT_OK


def _say(message: str, code: int) -> int:
    print(f"cuvee: {message}", file=sys.stderr)  # noqa: T201 - the one place that complains to people
    return code


def _usage(error: Exception) -> str:
    message = " ".join(str(error.format_message()).split()).rstrip(".")  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", "cuvee")
    return f"{message[:1].lower()}{message[1:]}{' See' if message.endswith('?') else '; see'}: {command} --help"
