"""Values of steps in the fields of headers: each is cut to the size that its field has in this header."""

from dataclasses import fields

import pytest

from odx_target.iscsi.pdu.headers import PDU_CLASSES, LoginRequest, LoginResponse, Pdu, ScsiResponse
from tests.fuzz.header_fields import places_of, set_fields


@pytest.mark.parametrize("kind", PDU_CLASSES.values(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("value", [0, 1, 1 << 70, -1, "ff" * 100, "no digits", None, [1]])
def test_any_value_can_be_encoded(kind: type[Pdu], value: object) -> None:
    assert set(places_of(kind)) == {field.name for field in fields(kind)}
    for name in places_of(kind):
        pdu = kind()
        set_fields(pdu, {name: value})
        assert len(pdu.encode_header()) == 48


def test_a_status_has_the_size_of_its_header() -> None:
    """The status of a login has a class and a detail, so that an attack can redirect a login."""
    login, command = LoginResponse(), ScsiResponse()
    set_fields(login, {"status": 0x0101})
    set_fields(command, {"status": 0x0102})
    assert (login.status, command.status) == (0x0101, 2)


def test_only_some_fields_are_set() -> None:
    login = LoginRequest()
    set_fields(login, {"tsih": 3, "isid": "0102", "nothing": 1}, only=("isid",))
    assert (login.tsih, login.isid) == (0, b"\1\2" + bytes(4))
