"""Limits of imports, with their reasons."""

SOURCE_WAIT_S = 20.0
"""Longest time that the read of a host waits for the old array, if the old array does not answer. The read then ends with NOT
READY, and the host repeats it. Linux waits 30 s for a command, and Windows 60 s."""

SOURCE_RETRY_S = 0.25
"""Pause before a read of the old array is repeated."""

COMMAND_TIMEOUT_S = 8.0
"""Longest time that the old array may need for one command. So also an attempt that begins at the end of SOURCE_WAIT_S ends
before a host gives up."""

RECONNECT_PAUSES_S = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Pauses before the next attempts to connect with the old array. The last one is repeated."""

PIECE_BLOCKS = 256
"""Largest number of store blocks that one read of the old array has: 1 MiB."""

MAX_PIECES = 4
"""Largest number of reads of the background copy that run at the same time. Together they need 4 MiB."""

DEFAULT_RATE_BYTES_PER_S = 64 << 20
"""Rate of the background copy if the operator names none, so that hosts of the old array and of this array notice it little."""

MIN_RATE_BYTES_PER_S = 64 << 10
"""Lowest rate of the background copy: a piece of four store blocks each quarter of a second."""

MAX_RATE_BYTES_PER_S = 1 << 50
"""Highest rate of the background copy. No machine reaches it."""

MAX_IMPORTS = 16
"""Largest number of imports that are not finished. Each may read MAX_PIECES pieces at a time."""

MAX_FINISHED = 100
"""Largest number of finished imports that the list shows. Older ones are forgotten."""

ZEROS_BLOCKS = 1 << 18
"""Largest number of blocks of zeros (1 GiB) that are stored at once."""

MAX_BAD_RANGES = 100
"""Largest number of ranges of unreadable or different blocks that an import lists. More are only counted."""

POOL_PAUSE_S = 5.0
"""Pause before the background copy tries again if the pool cannot take data, for example because it is full."""

CHECK_PAUSE_S = 60.0
"""Pause before blocks that the old array could not read are read again."""

STEPS_OF_A_PIECE = 500
"""Number of steps (see `turns`) that it takes to store a piece: the search for zeros, the checksums and the write."""
