"""Hypothesis strategies for PDU headers, in which every field has any value of its range."""

from dataclasses import fields
from typing import Any

from hypothesis import strategies as st

from odx_target.iscsi.pdu.headers import PDU_CLASSES, Pdu

NARROW_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "attribute": st.integers(0, 7),
    "function": st.integers(0, 127),
    "current_stage": st.integers(0, 3),
    "next_stage": st.integers(0, 3),
    "type": st.integers(0, 15),
    "data_segment_length": st.integers(0, 0xFFFFFF),
    "lun": st.integers(0, 2**64 - 1),
    "isid": st.binary(min_size=6, max_size=6),
    "cdb": st.binary(min_size=16, max_size=16),
}
BYTE_FIELDS = {"total_ahs_length", "version_max", "version_min", "version_active", "response", "async_event", "async_vcode"}
HALF_WORD_FIELDS = {"tsih", "connection_id", "time2wait_s", "time2retain_s", "parameter1", "parameter2", "parameter3"}


def values_of(kind: type[Pdu], name: str, example: object) -> st.SearchStrategy[Any]:
    if isinstance(example, bool):
        return st.booleans()
    if name in NARROW_FIELDS:
        return NARROW_FIELDS[name]
    if name == "reason":
        return st.integers(0, 127 if kind.__name__ == "LogoutRequest" else 255)
    if name == "status":
        return st.integers(0, 0xFFFF if kind.__name__ == "LoginResponse" else 0xFF)
    if name in BYTE_FIELDS:
        return st.integers(0, 0xFF)
    if name in HALF_WORD_FIELDS:
        return st.integers(0, 0xFFFF)
    return st.integers(0, 0xFFFFFFFF)


def pdus(*kinds: type[Pdu]) -> st.SearchStrategy[Pdu]:
    """Return a strategy for headers of these classes, or of all classes if none is given."""
    return st.one_of(
        st.builds(kind, **{field.name: values_of(kind, field.name, field.default) for field in fields(kind)})
        for kind in kinds or PDU_CLASSES.values()
    )
