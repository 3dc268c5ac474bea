"""How scenarios speak to ddptctl, the only client of token copy on Linux.

Debian's ddptctl puts its range descriptors one byte early, so that addresses and counts reach the array 256 times as large.
It is used as it is: given an address and a count divided by 256, the bytes on the wire are exactly right.
"""

SHIFT = 256

DEVICES = "login; device=$(generic $source); disk=$(disk $source); other_device=$(generic $other); other=$(disk $other)\n"
"""LUNs `source` and `other` of the scenario's variables."""

# exit statuses: 110 + ASCQ for INVALID TOKEN OPERATION, else as sg3-utils has them
CAUSE_NOT_REPORTABLE, UNSUPPORTED_TYPE, REMOTE, REMOTE_CREATION, UNKNOWN, CORRUPT = 110, 111, 112, 113, 114, 115
REVOKED, EXPIRED, CANCELLED, DELETED, INVALID_LENGTH = 116, 117, 118, 119, 120
ILLEGAL_REQUEST, COPY_ABORTED, OUT_OF_RANGE = 5, 10, 22
INVALID_FIELD_IN_LIST, TOO_MANY_DESCRIPTORS, IN_PROGRESS = 101, 102, 105


def ranges(*pairs: tuple[int, int]) -> str:
    """LBA and count of each range, in ddptctl's words."""
    assert all(number % SHIFT == 0 for pair in pairs for number in pair)
    return ",".join(str(number // SHIFT) for pair in pairs for number in pair)
