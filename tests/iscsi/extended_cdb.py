"""Additional header segments of commands with a long CDB, as initiators build them."""

from odx_target.iscsi.pdu.framing import AHS_EXTENDED_CDB


def encode_extended_cdb(cdb: bytes) -> bytes:
    """Return the AHS that carries the bytes of a CDB after its first 16 bytes (RFC 7143 11.2.2.3)."""
    rest = cdb[16:]
    segment = (len(rest) + 1).to_bytes(2, "big") + bytes((AHS_EXTENDED_CDB, 0)) + rest
    return segment + bytes(-len(segment) % 4)
