"""The command line's entry point: `odx-target`. Nobody imports it."""

import sys

EXIT_INTERRUPTED = 130  # what shells give for SIGINT


def main() -> None:
    """Run a subcommand and leave with its exit code."""
    try:
        # Loading everything takes a moment, in which an interrupt must not print a traceback either.
        from odx_target.cli.app import run

        code = run()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
