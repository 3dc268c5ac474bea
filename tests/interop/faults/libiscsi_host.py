"""A host that uses libiscsi as a program of its own: it discovers, logs in, reads and writes, with or without a timeout.

`python -m tests.interop.faults.libiscsi_host PORTAL TARGET TIMEOUT_S`, where 0 is no timeout. It goes on after each error, and
ends with 1 if there was one. It writes only data that the target has requested.
"""

import sys
from collections.abc import Callable

from tests.interop.libiscsi import Initiator, LibiscsiError, discover

BLOCKS = 16
READ = bytes.fromhex("28 00 00000000 00 0010 00")
WRITE = bytes.fromhex("2a 00 00000000 00 0010 00")
SIZE_BYTES = BLOCKS * 512


def main(portal: str, target: str, timeout_s: int) -> int:
    """Do all steps, and return the exit code."""

    def execute(cdb: bytes, data_out: bytes = b"", data_in_bytes: int = 0) -> str:
        with Initiator(portal, target, timeout_s=timeout_s, immediate_data=False, initial_r2t=True) as session:
            session.ready(0)
            return session.execute(0, cdb, data_out, data_in_bytes).outcome

    steps: dict[str, Callable[[], object]] = {
        "discover": lambda: discover(portal, timeout_s=timeout_s),
        "read": lambda: execute(READ, data_in_bytes=SIZE_BYTES),
        "write": lambda: execute(WRITE, bytes(SIZE_BYTES)),
    }
    has_failed = False
    for name, step in steps.items():
        try:
            sys.stdout.write(f"{name}: {step()}\n")
        except LibiscsiError as error:
            has_failed = True
            sys.stdout.write(f"{name} failed: {str(error)!a}\n")
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
