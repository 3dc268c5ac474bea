"""Arrays of numbers as they lie on a disk: little-endian on every machine.

An `array` keeps numbers in the order of the machine, so what it holds goes to a disk, and comes from one, through here.
"""

import sys
from array import array

_SWAPS = sys.byteorder == "big"


def disk_bytes(numbers: "array[int]") -> bytes:
    """The numbers one after the other, little-endian."""
    if _SWAPS:
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def from_disk(typecode: str, data: bytes | bytearray | memoryview) -> "array[int]":
    """The little-endian numbers in `data`, whose length is a multiple of theirs. Raises ValueError if it is not."""
    numbers = array(typecode)
    numbers.frombytes(data)
    if _SWAPS:
        numbers.byteswap()
    return numbers
