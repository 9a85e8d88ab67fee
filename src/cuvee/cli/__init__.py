"""The command line: one command a verb, no logic of its own."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; the user's mistakes become one sentence and an exit code, never a traceback."""
    from cuvee.cli.app import app
    from cuvee.errors import EXIT_ENVIRONMENT, EXIT_INTERRUPTED, CuveeError

    try:
        app(prog_name="cuvee")
    except CuveeError as error:
        print(f"cuvee: {error.message}", file=sys.stderr)  # noqa: T201 - the one place that talks to people
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("cuvee: interrupted; run again to go on from here.", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe went away, as `head` does; keep Python from complaining while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        print(f"cuvee: the system says: {error.strerror or error}{where}.", file=sys.stderr)  # noqa: T201
        sys.exit(EXIT_ENVIRONMENT)
