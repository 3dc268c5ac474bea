"""Values of attacks in the fields of PDU headers, cut to the size and the kind of the fields."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from odx_target.binary_layout import Place
from odx_target.iscsi.pdu.header import _places_of
from odx_target.iscsi.pdu.headers import Pdu
from odx_target.iscsi.pdu.opcodes import NO_TAG
from tests.fuzz.values import bytes_of


@cache
def places_of(kind: type[Pdu]) -> Mapping[str, tuple[Place, type]]:
    """Return the place and the type of each field that an attack may set."""
    places = _places_of(kind)
    return {field.name: places[field.name] for field in fields(kind)}


def set_fields(pdu: Pdu, values: Mapping[str, Any], only: Iterable[str] = ()) -> None:
    """Set fields of a header to values of a step, or only some of these fields. Values of other names are ignored."""
    places = places_of(type(pdu))
    for name in values.keys() & places.keys():
        if not only or name in only:
            setattr(pdu, name, _fitting(*places[name], values[name]))


def _fitting(place: Place, kind: type, value: Any) -> Any:
    if kind is bytes:
        size = place.size // 8
        return bytes_of(value)[:size].ljust(size, b"\0")
    number = value if isinstance(value, int) else NO_TAG
    return bool(number) if kind is bool else number & (1 << place.size) - 1
