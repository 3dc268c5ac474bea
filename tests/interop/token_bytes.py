"""Token commands as raw bytes, built from the layouts in the standards without code of odx_target.

SPC-4 and SBC-4: the list identifier is in bytes 6-9 of the CDB of POPULATE TOKEN and WRITE USING TOKEN, and in bytes 2-5 of the
commands that query or abort them.
"""

from tests.interop.libiscsi import Initiator, Result

Range = tuple[int, int]
"""Logical block address and number of blocks."""

WINDOWS_ALLOCATION_BYTES = 0x325
TOKEN_BYTES = 512
TOKEN_ANSWER_BYTES = 550
ZERO_TOKEN = bytes.fromhex("ffff0001000001f8") + bytes(504)

IMMED = 0x01
RTV_OR_DEL_TKN = 0x02
POINT_IN_TIME_DEFAULT = 0x00800000
CHANGE_VULNERABLE = 0x00800001
PERSISTENT = 0x00800002

COMPLETED, COMPLETED_WITH_ERROR, PARTIAL, IN_FOREGROUND, IN_BACKGROUND, TERMINATED = 0x01, 0x02, 0x03, 0x11, 0x12, 0x60


def _descriptors(ranges: list[Range]) -> bytes:
    return b"".join(lba.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(4) for lba, count in ranges)


def _out_cdb(service_action: int, list_identifier: int, parameter_bytes: int) -> bytes:
    cdb = bytes([0x83, service_action]) + bytes(4) + list_identifier.to_bytes(4, "big") + parameter_bytes.to_bytes(4, "big")
    return cdb + bytes(2)


def populate_request(
    list_identifier: int, ranges: list[Range], *, flags: int = 0, timeout_s: int = 0, rod_type: int = 0
) -> tuple[bytes, bytes]:
    """Return the CDB and the parameter list of POPULATE TOKEN."""
    descriptors = _descriptors(ranges)
    head = (14 + len(descriptors)).to_bytes(2, "big") + bytes([flags, 0]) + timeout_s.to_bytes(4, "big")
    head += rod_type.to_bytes(4, "big") + bytes(2) + len(descriptors).to_bytes(2, "big")
    assert len(head) == 16
    return _out_cdb(0x10, list_identifier, 16 + len(descriptors)), head + descriptors


def populate(session: Initiator, lun: int, list_identifier: int, ranges: list[Range], **options: int) -> Result:
    """Send POPULATE TOKEN."""
    return session.execute(lun, *populate_request(list_identifier, ranges, **options))


def write_using_request(
    list_identifier: int, token: bytes, ranges: list[Range], *, flags: int = 0, offset_into_rod: int = 0
) -> tuple[bytes, bytes]:
    """Return the CDB and the parameter list of WRITE USING TOKEN."""
    descriptors = _descriptors(ranges)
    head = (534 + len(descriptors)).to_bytes(2, "big") + bytes([flags, 0]) + bytes(4) + offset_into_rod.to_bytes(8, "big")
    data = head + token + bytes(6) + len(descriptors).to_bytes(2, "big") + descriptors
    assert len(data) == 536 + len(descriptors)
    return _out_cdb(0x11, list_identifier, len(data)), data


def write_using(
    session: Initiator, lun: int, list_identifier: int, token: bytes, ranges: list[Range], **options: int
) -> Result:
    """Send WRITE USING TOKEN."""
    return session.execute(lun, *write_using_request(list_identifier, token, ranges, **options))


def token_information_cdb(list_identifier: int, allocation_bytes: int = WINDOWS_ALLOCATION_BYTES) -> bytes:
    """Return the CDB of RECEIVE ROD TOKEN INFORMATION."""
    return _in_cdb(0x07, list_identifier, allocation_bytes)


def receive_token_information(
    session: Initiator, lun: int, list_identifier: int, allocation_bytes: int = WINDOWS_ALLOCATION_BYTES
) -> Result:
    """Send RECEIVE ROD TOKEN INFORMATION."""
    return session.execute(lun, token_information_cdb(list_identifier, allocation_bytes), data_in_bytes=allocation_bytes)


def receive_copy_status(session: Initiator, lun: int, list_identifier: int) -> Result:
    """Send RECEIVE COPY STATUS (LID4)."""
    return session.execute(lun, _in_cdb(0x05, list_identifier, 1024), data_in_bytes=1024)


def report_all_tokens(session: Initiator, lun: int) -> list[bytes]:
    """Send REPORT ALL ROD TOKENS; returns the management tokens, 96 bytes each."""
    result = session.execute(lun, _in_cdb(0x08, 0, 65_536), data_in_bytes=65_536)
    assert result.outcome == "good"
    assert int.from_bytes(result.data_in[:4], "big") == len(result.data_in) - 4
    body = result.data_in[8:]
    return [body[start : start + 96] for start in range(0, len(body), 96)]


def abort(session: Initiator, lun: int, list_identifier: int) -> Result:
    """Send COPY OPERATION ABORT."""
    return session.execute(lun, bytes([0x83, 0x1C]) + list_identifier.to_bytes(4, "big") + bytes(10))


def _in_cdb(service_action: int, list_identifier: int, allocation_bytes: int) -> bytes:
    return (
        bytes([0x84, service_action])
        + list_identifier.to_bytes(4, "big")
        + bytes(4)
        + allocation_bytes.to_bytes(4, "big")
        + bytes(2)
    )


def get_token(session: Initiator, lun: int, list_identifier: int, count_blocks: int) -> bytes:
    """Fetch the token of a POPULATE TOKEN of `count_blocks`, and check all other fields of the parameter data."""
    result = receive_token_information(session, lun, list_identifier)
    assert result.outcome == "good"
    data = result.data_in
    assert len(data) == TOKEN_ANSWER_BYTES
    assert result.residual_bytes == WINDOWS_ALLOCATION_BYTES - TOKEN_ANSWER_BYTES
    # Bytes 6-7 count operations and may have any value.
    assert data[:6] == bytes.fromhex("000002221001")
    assert data[8:16] == bytes.fromhex("fffffffe000000f1")
    assert data[16:24] == count_blocks.to_bytes(8, "big")
    assert data[24:38] == bytes.fromhex("0000000000000000000002020000")
    token = data[38:]
    assert token[:4] != ZERO_TOKEN[:4]
    assert token[4:8] == bytes.fromhex("000001f8")
    return token


def make_token(session: Initiator, lun: int, list_identifier: int, ranges: list[Range], **options: int) -> bytes:
    """Make a token with POPULATE TOKEN and RECEIVE ROD TOKEN INFORMATION; asserts that both end with GOOD."""
    assert populate(session, lun, list_identifier, ranges, **options).outcome == "good"
    return get_token(session, lun, list_identifier, sum(count for _, count in ranges))


def operation_status(session: Initiator, lun: int, list_identifier: int) -> int:
    """Fetch COPY OPERATION STATUS with RECEIVE ROD TOKEN INFORMATION."""
    result = receive_token_information(session, lun, list_identifier)
    assert result.outcome == "good"
    return result.data_in[5] & 0x7F
