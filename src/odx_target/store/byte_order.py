"""Conversion of arrays of numbers to and from their form on disk, which is little-endian on every machine.

A Python `array` has its numbers in the byte order of the machine. So its bytes cannot be written to the disk unchanged.
"""

import sys
from array import array

_SWAPS = sys.byteorder == "big"


def disk_bytes(numbers: "array[int]") -> bytes:
    """Encode the numbers one after the other as little-endian bytes."""
    if _SWAPS:
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()


def from_disk(typecode: str, data: bytes | bytearray | memoryview) -> "array[int]":
    """Decode little-endian numbers. Raises ValueError if the length of `data` is not a multiple of the item size."""
    numbers = array(typecode)
    numbers.frombytes(data)
    if _SWAPS:
        numbers.byteswap()
    return numbers
