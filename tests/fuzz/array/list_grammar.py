"""Random parameter lists for the commands that have one, mostly well formed."""

from collections.abc import Callable, Mapping
from random import Random

from tests.fuzz.values import changed_bytes, number


def parameter_list(random: Random, cdb: bytes) -> bytes:
    """Return data-out for a command. The list is random bytes if the command is not known."""
    make = _LISTS.get((cdb[0], cdb[1] & 0x1F)) or _LISTS.get((cdb[0], None))
    content = make(random) if make is not None else random.randbytes(random.choice((0, 4, 16, 24, 64)))
    return changed_bytes(random, content) if random.randrange(4) == 0 else content


def _mode_page(random: Random) -> bytes:
    code, size = random.choice(((0x01, 10), (0x08, 18), (0x0A, 10), (0x1C, 10), (0x1C, 0x1C)))
    if random.randrange(4) == 0:  # a subpage
        return bytes((code | 0x40, random.choice((0, 1, 2)), *divmod(size, 256))) + random.randbytes(size)
    return bytes((code, size)) + bytes(random.choice((0, 0, 0, 0x08, 0x10, 0x80)) for _ in range(size))


def _block_descriptor(random: Random) -> bytes:
    return random.choice((b"", bytes(8), number(random).to_bytes(4, "big") + bytes((0, 0, 2, 0)), bytes(16)))


def _mode_select_6(random: Random) -> bytes:
    descriptor = _block_descriptor(random)
    return bytes((0, 0, 0, len(descriptor))) + descriptor + b"".join(_mode_page(random) for _ in range(random.randrange(3)))


def _mode_select_10(random: Random) -> bytes:
    descriptor = _block_descriptor(random)
    long_lba = int(random.randrange(6) == 0)
    head = bytes((0, 0, 0, 0, long_lba, 0)) + len(descriptor).to_bytes(2, "big")
    return head + descriptor + b"".join(_mode_page(random) for _ in range(random.randrange(3)))


def _reserve(random: Random) -> bytes:
    keys = (bytes(8), b"keykey01", b"keykey02", random.randbytes(8))
    head = random.choice(keys) + random.choice(keys) + bytes(4) + bytes((random.choice((0, 1, 4, 8, 12)), 0, 0, 0))
    if random.randrange(3):
        return head
    identifiers = b"".join(_transport_id(random) for _ in range(random.randrange(3)))
    return head + len(identifiers).to_bytes(4, "big") + identifiers


def _transport_id(random: Random) -> bytes:
    name = random.choice((b"iqn.2026-11.example:attacker", b"iqn.2026-11.example:witness", b"x" * 30))
    form = random.choice((0x05, 0x45))
    name += b",i,0x800000000001" if form == 0x45 else b""
    name = name.ljust(-(-(len(name) + 1) // 4) * 4, b"\0")
    return bytes((form, 0)) + len(name).to_bytes(2, "big") + name


def _register_and_move(random: Random) -> bytes:
    identifier = _transport_id(random)
    return b"keykey01" + b"keykey02" + bytes((0, random.randrange(4), 0, 1)) + len(identifier).to_bytes(4, "big") + identifier


def _unmap(random: Random) -> bytes:
    count = random.randrange(4)
    descriptors = b"".join(
        random.choice((0, 8, 500, number(random, 64))).to_bytes(8, "big")
        + random.choice((0, 8, 16, number(random))).to_bytes(4, "big")
        + bytes(4)
        for _ in range(count)
    )
    return (6 + len(descriptors)).to_bytes(2, "big") + len(descriptors).to_bytes(2, "big") + bytes(4) + descriptors


def _format(random: Random) -> bytes:
    flags = random.choice((0, 0x02, 0x04, 0x08, 0x20, 0x80, random.randrange(256)))
    pattern = random.choice((b"", bytes((0, 1, 0, 4)) + b"patt", bytes((0x20, 1)) + random.randbytes(6)))
    long_list = random.randrange(3) == 0
    head = bytes((0, flags, 0, 0)) + bytes(4) if long_list else bytes((0, flags, 0, 0))
    return head + pattern


def _sanitize(random: Random) -> bytes:
    pattern = random.randbytes(random.choice((1, 4, 512)))
    return bytes((random.choice((0x01, 0x05, 0x81, 0x1F)), 0)) + len(pattern).to_bytes(2, "big") + pattern


def _blocks(random: Random) -> bytes:
    return bytes((random.randrange(256),)) * random.choice((512, 512, 1024, 4096, 8192))


def _diagnostic(random: Random) -> bytes:
    content = random.randbytes(random.choice((0, 4, 10)))
    return bytes((random.choice((0, 0x40, 0x3F)), 0)) + len(content).to_bytes(2, "big") + content


def _copy_list(random: Random) -> bytes:
    return bytes((random.randrange(8), random.choice((0, 0x18)), 0, 32)) + bytes(8) + random.randbytes(60)


_LISTS: Mapping[tuple[int, int | None], Callable[[Random], bytes]] = {
    (0x04, None): _format,
    (0x15, None): _mode_select_6,
    (0x55, None): _mode_select_10,
    (0x1D, None): _diagnostic,
    (0x3B, None): lambda random: random.randbytes(random.choice((4, 64, 512))),
    (0x42, None): _unmap,
    (0x48, 0x01): _sanitize,
    (0x5F, 0x07): _register_and_move,
    (0x5F, None): _reserve,
    (0xA4, 0x06): lambda random: random.randbytes(random.choice((0, 4, 64, 256))),
    (0xA4, 0x0A): lambda random: bytes(4) + bytes((random.randrange(16), 0, 0, random.choice((0, 1, 2)))),
    (0xA4, 0x0F): lambda random: bytes(4) + random.randbytes(6) + bytes(2),
    (0x83, None): _copy_list,
    **{
        (code, None): _blocks
        for code in (0x0A, 0x2A, 0xAA, 0x8A, 0x2E, 0xAE, 0x8E, 0x2F, 0xAF, 0x8F, 0x41, 0x93, 0x89, 0x8B, 0x9C)
    },
}
