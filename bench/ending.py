"""The end of a bench by a signal. It ends all targets and removes all files, as at the end by Ctrl-C."""

import signal
import sys
from types import FrameType


def end_by_sigterm() -> None:
    """Raise SystemExit on SIGTERM, so that every `finally` runs."""
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)
