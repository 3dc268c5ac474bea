"""Describe the data of PERSISTENT RESERVE IN and the parameter lists of PERSISTENT RESERVE OUT. No target is needed.

Each function takes bytes and returns rows. If the input is truncated, only the complete fields are described.
"""

from collections.abc import Callable

from odx_target.scsi.describe.rows import Row, layout_rows, raw_row, value_row
from odx_target.scsi.layout import Layout
from odx_target.scsi.reservations import persistent_reserve_in as reserve_in
from odx_target.scsi.reservations.conflicts import ReservationType
from odx_target.scsi.reservations.parameter_lists import TRANSPORT_ID_LENGTH_BYTES, BasicList, MoveList
from odx_target.scsi.reservations.persistent_reserve_out import ServiceAction
from odx_target.scsi.reservations.transport_id import PROTOCOL_ISCSI, TransportIdHeader

_KEY_NAMES = ("reservation_key", "service_action_reservation_key")
_TYPE_WORDS = {
    int(ReservationType.WRITE_EXCLUSIVE): "Write Exclusive",
    int(ReservationType.EXCLUSIVE_ACCESS): "Exclusive Access",
    int(ReservationType.WRITE_EXCLUSIVE_REGISTRANTS_ONLY): "Write Exclusive, registrants only",
    int(ReservationType.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY): "Exclusive Access, registrants only",
    int(ReservationType.WRITE_EXCLUSIVE_ALL_REGISTRANTS): "Write Exclusive, all registrants",
    int(ReservationType.EXCLUSIVE_ACCESS_ALL_REGISTRANTS): "Exclusive Access, all registrants",
}
_WORDS = {"type": _TYPE_WORDS}


def describe_keys(data: bytes) -> list[Row]:
    """Describe the parameter data of READ KEYS."""
    rows, keys = layout_rows(reserve_in.ReserveInHeader, data), data[reserve_in.ReserveInHeader.size_bytes :]
    whole_bytes = len(keys) - len(keys) % reserve_in.KEY_BYTES
    for at in range(0, whole_bytes, reserve_in.KEY_BYTES):
        rows.append(_key("reservation_key", int.from_bytes(keys[at : at + reserve_in.KEY_BYTES], "big")))
    return rows


def describe_reservation(data: bytes) -> list[Row]:
    """Describe the parameter data of READ RESERVATION."""
    rows = layout_rows(reserve_in.ReserveInHeader, data)
    return rows + _rows(reserve_in.ReservationDescriptor, data[reserve_in.ReserveInHeader.size_bytes :])


def describe_capabilities(data: bytes) -> list[Row]:
    """Describe the parameter data of REPORT CAPABILITIES."""
    return layout_rows(reserve_in.Capabilities, data)


def describe_full_status(data: bytes) -> list[Row]:
    """Describe the parameter data of READ FULL STATUS."""
    rows, rest = layout_rows(reserve_in.ReserveInHeader, data), data[reserve_in.ReserveInHeader.size_bytes :]
    descriptor = reserve_in.FullStatusDescriptor
    while rest:
        rows += _rows(descriptor, rest)
        if len(rest) < descriptor.size_bytes:
            break
        end = descriptor.size_bytes + descriptor.parse(rest).additional_descriptor_length
        rows += _transport_ids(rest[descriptor.size_bytes : end])
        rest = rest[end:]
    return rows


def describe_basic_list(data: bytes) -> list[Row]:
    """Describe the parameter list of all service actions except REGISTER AND MOVE."""
    end = BasicList.size_bytes
    rows = _rows(BasicList, data)
    if len(data) <= end:
        return rows
    rows.append(
        Row("transportid_parameter_data_length", str(int.from_bytes(data[end : end + TRANSPORT_ID_LENGTH_BYTES], "big")))
    )
    return rows + _transport_ids(data[end + TRANSPORT_ID_LENGTH_BYTES :])


def describe_move_list(data: bytes) -> list[Row]:
    """Describe the parameter list of REGISTER AND MOVE."""
    return _rows(MoveList, data) + _transport_ids(data[MoveList.size_bytes :])


def _rows(layout: type[Layout], data: bytes) -> list[Row]:
    """Describe the fields of a layout. Reservation keys are shown in hexadecimal, as in the tools of hosts."""
    return [
        _key(name, value) if name in _KEY_NAMES and isinstance(value, int) else value_row(name, value, _WORDS.get(name))
        for name, value in layout.values_within(data).items()
    ]


def _key(name: str, key: int) -> Row:
    return Row(name, f"{key:#x}", "" if key else "none")


def _transport_ids(data: bytes) -> list[Row]:
    rows: list[Row] = []
    header_bytes = TransportIdHeader.size_bytes
    while len(data) >= header_bytes:
        fields = TransportIdHeader.parse(data)
        end = header_bytes + fields.additional_length
        if fields.protocol_identifier == PROTOCOL_ISCSI:
            name = data[header_bytes:end].partition(b"\0")[0]
            rows.append(Row("transportid", name.decode("utf-8", "backslashreplace")))
        else:
            rows.append(raw_row("transportid", data[:end]))
        data = data[end:]
    return [*rows, raw_row("partial_transportid", data)] if data else rows


RESERVE_IN_DATA: dict[int, Callable[[bytes], list[Row]]] = {
    reserve_in.READ_KEYS: describe_keys,
    reserve_in.READ_RESERVATION: describe_reservation,
    reserve_in.REPORT_CAPABILITIES: describe_capabilities,
    reserve_in.READ_FULL_STATUS: describe_full_status,
}
"""Functions that describe the parameter data of PERSISTENT RESERVE IN, by service action."""

RESERVE_OUT_LISTS: dict[int, Callable[[bytes], list[Row]]] = {
    action: describe_move_list if action is ServiceAction.REGISTER_AND_MOVE else describe_basic_list for action in ServiceAction
}
"""Functions that describe the parameter list of PERSISTENT RESERVE OUT, by service action."""
