"""TransportIDs of iSCSI (SPC-4 7.6.4.6)."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.scsi.reservations.transport_id import MAX_NAME_BYTES, TransportId, decode_transport_ids, encode_transport_id
from odx_target.scsi.sense import CheckCondition
from tests.scsi.reserving import port_name, transport_id

NAME = "iqn.2001-04.com.example:host"
PORT = f"{NAME},i,0x00023d000001"


def decode(data: bytes) -> list[TransportId]:
    return decode_transport_ids(data, 28)


@pytest.mark.parametrize("name", [PORT, "iqn.a,i,0x000000000000", port_name(3), "n" * MAX_NAME_BYTES + ",i,0x00023d000001"])
def test_a_port_there_and_back(name: str) -> None:
    data = encode_transport_id(name)
    assert data == transport_id(name)
    assert len(data) >= 24
    assert not len(data) % 4
    assert data[-1] == 0, "terminated"
    assert decode(data) == [TransportId(name, is_port=True)]


@pytest.mark.parametrize(
    ("sent", "tpid_format", "name"),
    [
        (PORT.upper().replace("I,0X", "i,0x"), 1, PORT),
        (f"{NAME},i,0x23D000001", 1, PORT),
        (f"{NAME},i,0x0", 1, f"{NAME},i,0x000000000000"),
        (NAME.upper(), 0, NAME),
        ("eui.02004567a425678d", 0, "eui.02004567a425678d"),
    ],
)
def test_a_name_is_told_in_one_way_however_it_came(sent: str, tpid_format: int, name: str) -> None:
    assert decode(transport_id(sent, tpid_format)) == [TransportId(name, is_port=tpid_format == 1)]


def test_several_one_after_another() -> None:
    found = decode(transport_id(PORT) + transport_id(NAME, 0) + transport_id(port_name(1)))
    assert [each.name for each in found] == [PORT, NAME, port_name(1)]
    assert decode(b"") == []


def test_what_follows_the_terminating_zero_means_nothing() -> None:
    data = bytearray(transport_id("iqn.a,i,0x1"))
    data[-3:] = b"xyz"
    assert decode(bytes(data)) == [TransportId("iqn.a,i,0x000000000001", is_port=True)]


WRONG = {
    "another protocol": b"\x40" + transport_id(PORT)[1:],
    "a format of the future": transport_id(PORT, 2),
    "a port without an ISID": transport_id(NAME, 1),
    "a device with an ISID": transport_id(PORT, 0),
    "an ISID that is no number": transport_id(f"{NAME},i,0xthirteen"),
    "an ISID of 13 digits": transport_id(f"{NAME},i,0x0000023d00001"),
    "an empty ISID": transport_id(f"{NAME},i,0x"),
    "an empty name": transport_id("", 0),
    "an empty name of a port": transport_id(",i,0x1"),
    "not UTF-8": transport_id("iqn.a", 0).replace(b"a", b"\xff"),
    "shorter than a TransportID is": b"\x45\0\0\x10" + b"iqn.a,i,0x1".ljust(16, b"\0"),
    "of odd length": b"\x45\0\0\x16" + b"iqn.a,i,0x1".ljust(22, b"\0"),
    "longer than a name may be": b"\x45\0\0\xf8" + b"iqn.a,i,0x1".ljust(248, b"\0"),
    "cut short": transport_id(PORT)[:-1],
    "cut short in its header": transport_id(PORT)[:3],
}


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_what_is_none(data: bytes) -> None:
    with pytest.raises(CheckCondition) as caught:
        decode(transport_id(PORT) + data)
    assert (caught.value.condition.asc, caught.value.data_field) == (0x26, 28 + len(transport_id(PORT)))


@given(st.binary(max_size=80))
def test_any_bytes_are_some_or_are_refused(data: bytes) -> None:
    with suppress(CheckCondition):
        assert all(each.name for each in decode(data))
