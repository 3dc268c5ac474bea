"""Settings of the C library's memory allocation for a process that serves.

By default, glibc returns large freed buffers to the kernel at once. If a session reads 1 MiB at a time with a queue depth of 8,
each read then causes about 200 page faults, which take more than half of the processor time of the read.
"""

import ctypes

MAX_FREE_BYTES = 16 << 20
"""Maximum amount of freed memory at the end of the heap that the C library keeps for later buffers.

Eight reads of 1 MiB need half of it at the same time.
"""

MAX_HEAP_BUFFER_BYTES = 4 << 20
"""Maximum size of a buffer in the heap. The C library takes memory for a larger buffer from the kernel, and returns it when the
buffer is freed.

Hosts rarely read more than 1 MiB at a time.
"""

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def keep_freed_memory() -> None:
    """Make the C library keep freed memory for later buffers. Does nothing if the C library has no such settings.

    The setting affects the whole process, so only `serve` uses this function.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_M_MMAP_THRESHOLD, MAX_HEAP_BUFFER_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, MAX_FREE_BYTES)
