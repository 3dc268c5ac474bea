"""The first difference of two byte strings, and the sense data that report its offset."""

from odx_target.scsi.sense import MISCOMPARE_DURING_VERIFY_OPERATION, CheckCondition

# Below this length, to compare byte by byte is faster than to bisect again.
_FEW_BYTES = 64


def first_difference(present: bytes, expected: bytes) -> int | None:
    """Return the byte offset of the first difference of two byte strings of equal length, or None if they are equal."""
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


def miscompare(offset_bytes: int) -> CheckCondition:
    """Return MISCOMPARE DURING VERIFY OPERATION. INFORMATION is the offset of the first different byte (SBC-3 5.2 and 5.28)."""
    return CheckCondition(MISCOMPARE_DURING_VERIFY_OPERATION, information=offset_bytes)
