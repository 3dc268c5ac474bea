"""The faults that Linux with open-iscsi meets in the guest, and what it sees of them."""

from typing import NamedTuple


class LinuxKind(NamedTuple):
    """A rule, an act of the host, which is a key of SCRIPTS, and what the script prints.

    SG_IO is past the retries of the kernel.
    """

    rule: str
    act: str
    seen: str


SCRIPTS = {
    # act: lines of the script
    "read": "read_block $disk",
    "write": "write_block $disk",
    "read by SG_IO": "passthrough",
    "log out, log in, read": "logout; login; before=$(lost); read_block $(disk 0)",
}
READ, WRITE, PASSTHROUGH, LOGIN = SCRIPTS
RECOVERED = "good, after a new login"

KINDS = (
    LinuxKind(
        "command=read-10 sense=unrecovered-read-error", PASSTHROUGH, "Check Condition, Medium Error, Unrecovered read error"
    ),
    LinuxKind("command=read-10 sense=unrecovered-read-error", READ, "No data available"),
    LinuxKind(
        "command=read-10 sense=token-expired",
        PASSTHROUGH,
        "Check Condition, Illegal Request, Invalid token operation, token expired",
    ),
    LinuxKind("command=read-10 status=busy", READ, "good"),
    LinuxKind("command=read-10 status=task-set-full", READ, "good"),
    LinuxKind("command=read-10 status=reservation-conflict", READ, "Invalid exchange"),
    LinuxKind("command=read-10 delay=500ms", READ, "good"),
    LinuxKind("command=read-10 transfer=50%", READ, "good"),
    LinuxKind("command=read-10 close", READ, RECOVERED),
    LinuxKind("command=write-10 restart", WRITE, RECOVERED),
    LinuxKind("pdu=data-in digest=header", READ, RECOVERED),
    LinuxKind("pdu=data-in digest=data", READ, RECOVERED),
    LinuxKind("login=normal refuse=service-unavailable", LOGIN, "good"),
    LinuxKind("login=normal redirect=127.0.0.1:{port}", LOGIN, "good"),
)

DISCOVERIES: dict[str, int] = {
    # hostile answer: exit status of `iscsiadm -m discovery`
    "name-leaves-its-folder": 21,
    "name-with-lines": 21,
    "name-with-control-characters": 21,
    "long-name": 21,
    "many-targets": 0,
    "address-without-end": 0,
    "text-without-key": 21,
    "text-without-zero": 21,
    "endless-text": 0,
    "endless-login-text": 19,
    "endless-redirection": 11,
}
"""The hostile answers to logins and discoveries."""

SESSIONS = (
    "length-of-16-MiB",
    "additional-headers",
    "r2t-of-nothing",
    "r2t-of-too-much",
    "r2t-beyond-the-end",
    "r2t-of-another-task",
    "data-in-beyond-the-end",
    "data-in-of-another-task",
    "response-of-another-task",
    "two-responses",
    "more-data-than-asked",
    "less-data-than-said",
    "residual-lie",
    "both-residuals",
    "sense-of-one-byte",
    "sense-flood",
    "window-shut",
    "wrong-statsn",
    "unknown-reject",
)
"""The hostile answers to commands. After each of them, commands end, and the session works again."""
