"""Values that break programs: numbers at the edges of their fields, and bytes with small changes."""

import re
from random import Random
from typing import Any

EDGES = (0, 1, 2, 3, 4, 7, 8, 15, 16, 24, 31, 32, 63, 64, 127, 128, 254, 255, 256, 511, 512, 513, 1023, 1024, 4095, 4096, 4097)
POWERS = (8, 15, 16, 23, 24, 31, 32, 48, 63, 64)
MAX_GROWTH_BYTES = 600
"""Longest run of bytes that one mutation adds."""
HEXADECIMAL = re.compile(r"(?:[0-9a-f]{2})+")
"""Texts that are bytes in the steps of scripts."""


def bytes_of(value: Any) -> bytes:
    """Return the bytes that a value of a step stands for: hexadecimal digits, or, after a mutation, any other value."""
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        return str(value).encode("utf-8", "surrogatepass")


def number(random: Random, bits: int = 32) -> int:
    """Return a number of at most `bits` bits, which is often at an edge."""
    top = (1 << bits) - 1
    kind = random.randrange(8)
    if kind < 3:
        found = random.choice(EDGES)
    elif kind < 5:
        found = (1 << random.choice(POWERS)) + random.randrange(-2, 3)
    elif kind < 6:
        found = top - random.choice((0, 1, 2, 3, 7))
    else:
        found = random.getrandbits(random.randrange(1, bits + 1))
    return max(0, found) & top


def changed_number(random: Random, value: int) -> int:
    kind = random.randrange(4)
    if kind == 0:
        return number(random)
    if kind == 1:
        return value ^ 1 << random.randrange(max(1, value.bit_length() + 1))
    return max(0, value + random.choice((-1, 1, 4, -4, 512)))


def changed_bytes(random: Random, data: bytes) -> bytes:
    """Return `data` after a change of a few bytes: other bits, edges of numbers, missing, repeated or more bytes."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        at = random.randrange(len(changed) + 1)
        kind = random.randrange(6)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << random.randrange(8)
        elif kind == 1 and at < len(changed):
            changed[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))
        elif kind == 2:
            width = random.choice((2, 4, 8))
            edge = number(random, width * 8).to_bytes(width, random.choice(("big", "little")))
            changed[at : at + width] = edge[: max(0, len(changed) - at)] or edge
        elif kind == 3:
            del changed[at : at + random.choice((1, 2, 4, 8, 16))]
        elif kind == 4:
            changed[at:at] = changed[at : at + random.choice((1, 4, 8, 16, 64))]
        else:
            changed[at:at] = bytes([random.randrange(256)]) * random.choice((1, 2, 4, 16, MAX_GROWTH_BYTES))
    return bytes(changed)


def changed_text(random: Random, text: str, words: tuple[str, ...] = ()) -> str:
    """Return `text` after a change of a few characters."""
    for _ in range(random.choice((1, 1, 2, 3))):
        at = random.randrange(len(text) + 1)
        kind = random.randrange(5)
        if kind == 0:
            text = text[:at] + text[at + random.choice((1, 2, 8)) :]
        elif kind == 1:
            text = text[:at] + text[at : at + random.choice((1, 4, 30))] + text[at:]
        elif kind == 2 and words:
            text = text[:at] + random.choice(words) + text[at:]
        elif kind == 3:
            text = text[:at] + random.choice(("\0", "=", ",", "\n", '"', "é", "\ud7ff", "\u2028", "9" * 40, "[", "{", "%", "~"))
            text += text[at:] if random.random() < 0.5 else ""
        else:
            text = text[:at] + chr(random.choice((random.randrange(32, 127), random.randrange(0x250)))) + text[at + 1 :]
    return text
