"""The fields of CDBs and parameter lists, by their names in the standards."""

from collections.abc import Callable, Mapping

from odx_target.copymgr.commands.parameter_lists import (
    POPULATE_TOKEN_SHAPE,
    WRITE_USING_TOKEN_SHAPE,
    PopulateTokenHeader,
    WriteUsingTokenHeader,
    decode_populate_token,
    decode_write_using_token,
)
from odx_target.copymgr.describe_fields import register_descriptions
from odx_target.scsi.command_table import SERVICE_ACTION_BITS
from odx_target.scsi.commands.blocks.unmap import UnmapHeader, unmap_descriptors
from odx_target.scsi.describe.command_names import command_name
from odx_target.scsi.describe.data import Descriptions, find_cdb
from odx_target.scsi.layout import Layout

_DESCRIPTIONS = Descriptions()
register_descriptions(_DESCRIPTIONS)

Decode = Callable[[bytes], dict[str, object]]


def decode_cdb(cdb: bytes) -> tuple[str, Mapping[str, int | bytes]]:
    """Return the name of the command in a CDB, and its fields. The fields of an unknown command are its operation code only."""
    known = find_cdb(cdb, _DESCRIPTIONS.cdbs)
    if known is None:
        return command_name(cdb, _DESCRIPTIONS.names) or f"operation code {cdb[0]:02X}h", {"operation_code": cdb[0]}
    return known.name, known.layout.values_within(cdb)


def decode_parameter_list(cdb: bytes, data: bytes) -> Mapping[str, object]:
    """Return the fields of a parameter list, or nothing if its format is not in the table or it is too short."""
    decode = _LISTS.get((cdb[0], None)) or _LISTS.get((cdb[0], cdb[1] & SERVICE_ACTION_BITS))
    return {} if decode is None else decode(data)


def _header(layout: type[Layout], data: bytes) -> dict[str, object]:
    return dict(layout.values_within(data))


def _populate_token(data: bytes) -> dict[str, object]:
    fields = _header(PopulateTokenHeader, data)
    if len(data) >= POPULATE_TOKEN_SHAPE.header_bytes:
        fields["ranges"] = [tuple(each) for each in decode_populate_token(data).ranges]
    return fields


def _write_using_token(data: bytes) -> dict[str, object]:
    fields = _header(WriteUsingTokenHeader, data)
    if len(data) >= WRITE_USING_TOKEN_SHAPE.header_bytes:
        fields["ranges"] = [tuple(each) for each in decode_write_using_token(data).ranges]
    return fields


def _unmap(data: bytes) -> dict[str, object]:
    fields = _header(UnmapHeader, data)
    if len(data) >= UnmapHeader.size_bytes:
        fields["ranges"] = [tuple(each) for each in unmap_descriptors(data)]
    return fields


_LISTS: dict[tuple[int, int | None], Decode] = {
    # Functions that decode data-out, by (operation code, service action or None).
    (0x42, None): _unmap,
    (0x83, 0x10): _populate_token,
    (0x83, 0x11): _write_using_token,
}
