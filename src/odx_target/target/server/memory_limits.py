"""Constants that limit the memory of sessions (see `memory_division`). Settings use them without loading the server."""

from odx_target.iscsi.limits import (
    MAX_CONNECTIONS,
    MAX_DISCOVERY_SESSIONS,
    MAX_FIRST_BURST_BYTES,
    MAX_LOGINS,
)

KIB, MIB = 1 << 10, 1 << 20

DEFAULT_MEMORY_BYTES = 512 * MIB

SESSION_BYTES = 2304 * KIB
"""Memory of a session: 1 MiB for the receive buffer, 1 MiB for unsent small reads and responses, and 256 KiB for other objects.

The other objects include the records of 144 commands.
"""

DISCOVERY_SESSION_BYTES = 512 * KIB
"""Memory of a discovery session: a receive buffer for one PDU of the largest size, and 64 KiB of text in each direction."""

LOGIN_BYTES = 128 * KIB
"""Memory of a login: a receive buffer of 16 KiB, 64 KiB of text and the objects of a connection."""

MAX_SHARES = MAX_CONNECTIONS + 4
"""Maximum number of sessions that share the allotments.

There may be more sessions than connections, because replaced sessions may still be ending.
"""

FIXED_BYTES = MAX_SHARES * SESSION_BYTES + MAX_DISCOVERY_SESSIONS * DISCOVERY_SESSION_BYTES + MAX_LOGINS * LOGIN_BYTES

MIN_GUARANTEED_BYTES = MAX_FIRST_BURST_BYTES + 64 * KIB
"""Minimum guaranteed part of each session in each allotment.

The guaranteed part is enough for one command of the size that Windows usually sends.
"""

MIN_UNSOLICITED_BYTES = MAX_SHARES * MIN_GUARANTEED_BYTES + 4 * MIB

MIN_MEMORY_BYTES = 320 * MIB
"""Minimum value of the setting memory-limit.

With this limit, each allotment has room for the guaranteed parts and one command of the largest size.
"""

MAX_MEMORY_BYTES = 1 << 40
"""Maximum value of the setting memory-limit. No machine has more memory than this."""
