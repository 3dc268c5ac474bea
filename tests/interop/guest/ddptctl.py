"""Arguments and exit statuses of ddptctl, the only client of token copy on Linux.

Debian's ddptctl writes its range descriptors one byte too early, so that addresses and counts arrive 256 times too large. The
scenarios divide addresses and counts by 256, which makes the bytes on the wire correct.
"""

SHIFT = 256

DEVICES = "login; device=$(generic $source); disk=$(disk $source); other_device=$(generic $other); other=$(disk $other)\n"
"""Shell commands that log in and find the devices of the LUNs in the variables `source` and `other`."""

# Exit statuses: 110 + ASCQ for INVALID TOKEN OPERATION, otherwise those of sg3-utils.
CAUSE_NOT_REPORTABLE, UNSUPPORTED_TYPE, REMOTE, REMOTE_CREATION, UNKNOWN, CORRUPT = 110, 111, 112, 113, 114, 115
REVOKED, EXPIRED, CANCELLED, DELETED, INVALID_LENGTH = 116, 117, 118, 119, 120
ILLEGAL_REQUEST, COPY_ABORTED, OUT_OF_RANGE = 5, 10, 22
INVALID_FIELD_IN_LIST, TOO_MANY_DESCRIPTORS, IN_PROGRESS = 101, 102, 105


def ranges(*pairs: tuple[int, int]) -> str:
    """Format the LBA and count of each range as an argument for ddptctl."""
    assert all(number % SHIFT == 0 for pair in pairs for number in pair)
    return ",".join(str(number // SHIFT) for pair in pairs for number in pair)
