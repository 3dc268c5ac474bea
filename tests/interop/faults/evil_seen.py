"""The hostile answers after which programs without a timeout were seen to wait. Each of them lacks the end of a command.

All other programs end, because libiscsi gives up the connection, and logs in again if the program lets it.
"""

from collections.abc import Mapping

WAITING: Mapping[str, tuple[str, ...]] = {
    # hostile answer: the programs that wait
    "length-of-16-MiB": ("iscsi-ls",),
    "r2t-of-nothing": ("libiscsi",),
    "r2t-of-another-task": ("libiscsi",),
    "data-in-of-another-task": ("iscsi-ls", "iscsi-inq", "qemu-img", "libiscsi"),
    "response-of-another-task": ("iscsi-ls", "iscsi-inq", "qemu-img", "libiscsi"),
    "window-shut": ("iscsi-inq", "qemu-img"),
}


def is_waiting(evil: str, program: str) -> bool:
    """True if a program was seen to wait after a hostile answer."""
    return program in WAITING.get(evil, ())
