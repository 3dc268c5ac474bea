"""Times as text, for the names of snapshots."""

import numpy as np


def moment_text(time_s: float) -> str:
    """Return a time in UTC, such as 2026-11-30T09:05:00Z. `time_s` are seconds since 1970."""
    return f"{np.datetime64(int(time_s), 's')}Z"
