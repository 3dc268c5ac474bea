"""The entry point of the command line, `odx-target`. No module imports it."""

import sys

EXIT_INTERRUPTED = 130  # exit code of shells after SIGINT


def main() -> None:
    """Run a subcommand and exit with its exit code."""
    try:
        # Loading all modules takes a moment, and an interrupt must not print a traceback during that time either.
        from odx_target.cli.app import run

        code = run()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
