"""The entry point of the command line, `odx-target`. No other module imports this module."""

import sys
from signal import SIGINT

from odx_target.cli.failure import EXIT_SIGNAL


def main() -> None:
    """Run a subcommand and exit with its exit code."""
    try:
        # Loading all modules takes a moment, and an interrupt must not print a traceback during that time either.
        from odx_target.cli.program import run

        code = run()
    except KeyboardInterrupt:
        code = EXIT_SIGNAL + SIGINT
    sys.exit(code)


if __name__ == "__main__":
    main()
