"""Checks of header and data digests (RFC 7143 7.7, 13.1)."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Need
from odx_target.conformance.faults import CheckFailed, NotSupported, require, require_equal
from odx_target.conformance.iscsi.commands import TAG, read, ready
from odx_target.conformance.iscsi.raw_connection import RawConnection, StreamEnded
from odx_target.iscsi.pdu.headers import NopOut, Reject
from odx_target.iscsi.pdu.opcodes import RejectReason

HEADER = slice(40, 41)
"""A reserved byte of a NOP-Out, which a digest covers."""


async def _with_digests(connection: RawConnection, **keys: str) -> None:
    await connection.log_in(**keys)
    for key in keys:
        if connection.login_keys.get(key) != "CRC32C":
            raise NotSupported(f"the target does not accept {key}=CRC32C")


async def both_digests(bench: Bench) -> None:
    async with bench.connection() as connection:
        await _with_digests(connection, HeaderDigest="CRC32C", DataDigest="CRC32C")
        await ready(connection)
        size = 4 * bench.first.block_bytes
        _, data, status, _ = await read(connection, 4, size)
        require_equal("status and number of bytes", (status, len(data)), (0, size))


async def wrong_header_digest(bench: Bench) -> None:
    async with bench.connection() as connection:
        await _with_digests(connection, HeaderDigest="CRC32C")
        pdu = NopOut(immediate=True, initiator_task_tag=TAG)
        await connection.send(connection.numbered(pdu), damage=HEADER)
        try:
            received = (await connection.receive()).pdu
        except StreamEnded:
            return
        raise CheckFailed(f"the target answers a PDU with a wrong header digest with {type(received).__name__}")


async def wrong_data_digest(bench: Bench) -> None:
    async with bench.connection() as connection:
        await _with_digests(connection, DataDigest="CRC32C")
        pdu = NopOut(immediate=True, initiator_task_tag=TAG)
        await connection.send(connection.numbered(pdu), b"ping", damage=slice(48, 49))
        try:
            received = (await connection.receive()).pdu
        except StreamEnded:
            return
        require(isinstance(received, Reject), f"the target answers a wrong data digest with {type(received).__name__}")
        require_equal("reason", getattr(received, "reason", None), int(RejectReason.DATA_DIGEST_ERROR))


_DIGEST = "RFC 7143 7.7"
PORTAL = Need.PORTAL

CHECKS = (
    Check("iscsi.digest.both", _DIGEST, "Header and data digests are right", both_digests, PORTAL),
    Check("iscsi.digest.header", _DIGEST, "A PDU with a wrong header digest is not answered", wrong_header_digest, PORTAL),
    Check("iscsi.digest.data", _DIGEST, "A wrong data digest is rejected", wrong_data_digest, PORTAL),
)
