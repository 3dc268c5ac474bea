"""Where two pieces of data first differ."""

# Below this a byte by byte search costs less than cutting further.
_FEW_BYTES = 64


def first_difference(present: bytes, expected: bytes) -> int | None:
    """The offset in bytes of the first difference of two pieces of the same length; None if there is none."""
    if present == expected:
        return None
    first, end = 0, len(present)
    while end - first > _FEW_BYTES:
        middle = (first + end) // 2
        if present[first:middle] == expected[first:middle]:
            first = middle
        else:
            end = middle
    return next(index for index in range(first, end) if present[index] != expected[index])
