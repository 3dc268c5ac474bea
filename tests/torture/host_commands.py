"""CDBs and parameter lists of the commands that a run sends. Places and counts are in logical blocks."""

from odx_target.copymgr.commands.parameter_lists import encode_populate_token, encode_write_using_token

Range = tuple[int, int]


def read(lba: int, count: int) -> bytes:
    return b"\x88\0" + lba.to_bytes(8, "big") + count.to_bytes(4, "big")


def write(lba: int, count: int, *, force_unit_access: bool) -> bytes:
    return bytes((0x8A, force_unit_access << 3)) + lba.to_bytes(8, "big") + count.to_bytes(4, "big")


def synchronize_cache() -> bytes:
    return b"\x91"


def unmap(ranges: list[Range]) -> tuple[bytes, bytes]:
    descriptors = b"".join(lba.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(4) for lba, count in ranges)
    data = (len(descriptors) + 6).to_bytes(2, "big") + len(descriptors).to_bytes(2, "big") + bytes(4) + descriptors
    return b"\x42".ljust(7, b"\0") + len(data).to_bytes(2, "big"), data


def write_same(lba: int, count: int, flags: int) -> bytes:
    return bytes((0x93, flags)) + lba.to_bytes(8, "big") + count.to_bytes(4, "big")


def compare_and_write(lba: int, count: int) -> bytes:
    return b"\x89\0" + lba.to_bytes(8, "big") + bytes(3) + bytes((count,))


def sanitize(pattern: bytes, kind: int, *, is_immediate: bool) -> tuple[bytes, bytes]:
    """Kind 0 is BLOCK ERASE, 1 is CRYPTOGRAPHIC ERASE, and 2 is OVERWRITE."""
    data = b"\x01\0" + len(pattern).to_bytes(2, "big") + pattern if kind == 2 else b""
    service_action = (2, 3, 1)[kind]
    return bytes((0x48, is_immediate << 7 | service_action)).ljust(7, b"\0") + len(data).to_bytes(2, "big"), data


def populate(list_identifier: int, ranges: list[Range], rod_type: int, timeout_s: int) -> tuple[bytes, bytes]:
    data = encode_populate_token(ranges, flags=2 if rod_type else 0, rod_type=rod_type, inactivity_timeout_s=timeout_s)
    return _out(0x10, list_identifier, len(data)), data


def write_using(list_identifier: int, ranges: list[Range], token: bytes, offset: int, *, delete: bool) -> tuple[bytes, bytes]:
    data = encode_write_using_token(token, ranges, flags=delete << 1, offset_into_rod=offset)
    return _out(0x11, list_identifier, len(data)), data


def information(list_identifier: int) -> bytes:
    return b"\x84\x07" + list_identifier.to_bytes(4, "big") + bytes(4) + (1024).to_bytes(4, "big")


def _out(service_action: int, list_identifier: int, list_bytes: int) -> bytes:
    head = bytes((0x83, service_action, 0, 0, 0, 0))
    return head + list_identifier.to_bytes(4, "big") + list_bytes.to_bytes(4, "big")
