"""Descriptions of parameter data and parameter lists of PERSISTENT RESERVE."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.scsi.describe.reservations import RESERVE_IN_DATA, RESERVE_OUT_LISTS
from odx_target.scsi.describe.rows import Row
from tests.scsi.reserving import (
    APTPL,
    PREEMPT,
    READ_FULL_STATUS,
    READ_KEYS,
    READ_RESERVATION,
    REGISTER,
    REGISTER_AND_MOVE,
    REPORT_CAPABILITIES,
    SPEC_I_PT,
    UNREG,
    basic_list,
    golden,
    move_list,
    port_name,
    specified,
    transport_id,
)


def values(rows: list[Row], name: str) -> list[str]:
    return [row.value for row in rows if row.name == name]


def test_keys() -> None:
    rows = RESERVE_IN_DATA[READ_KEYS](golden("two_keys"))
    assert rows[0] == Row("prgeneration", "2")
    assert values(rows, "reservation_key") == ["0x1", "0x2"]


def test_a_reservation() -> None:
    rows = RESERVE_IN_DATA[READ_RESERVATION](golden("held_by_one"))
    assert Row("type", "6", "Exclusive Access, registrants only") in rows
    assert Row("reservation_key", "0x0", "none") in RESERVE_IN_DATA[READ_RESERVATION](golden("held_by_all"))
    assert not values(RESERVE_IN_DATA[READ_RESERVATION](golden("no_reservation")), "type")


def test_capabilities() -> None:
    rows = RESERVE_IN_DATA[REPORT_CAPABILITIES](golden("capabilities", "active"))
    assert values(rows, "ptpl_a") == ["1"]
    assert values(rows, "crh") == ["1"]


def test_full_status() -> None:
    rows = RESERVE_IN_DATA[READ_FULL_STATUS](golden("full_status"))
    assert values(rows, "transportid") == [port_name(0), port_name(1)]
    assert values(rows, "r_holder") == ["1", "0"]
    assert Row("type", "1", "Write Exclusive") in rows


def test_lists() -> None:
    rows = RESERVE_OUT_LISTS[PREEMPT](basic_list(0x1122334455667788, 0))
    assert Row("reservation_key", "0x1122334455667788") in rows
    assert Row("service_action_reservation_key", "0x0", "none") in rows
    rows = RESERVE_OUT_LISTS[REGISTER](basic_list(0, 5, SPEC_I_PT | APTPL, specified(transport_id(port_name(2)))))
    assert (values(rows, "spec_i_pt"), values(rows, "aptpl"), values(rows, "transportid")) == (["1"], ["1"], [port_name(2)])
    rows = RESERVE_OUT_LISTS[REGISTER_AND_MOVE](move_list(1, 2, transport_id(port_name(1)), UNREG))
    assert (values(rows, "unreg"), values(rows, "transportid")) == (["1"], [port_name(1)])


def test_transport_ids_of_others_and_cut_ones() -> None:
    fibre_channel = bytes.fromhex("00 00 0014") + bytes(range(20))
    rows = RESERVE_OUT_LISTS[REGISTER](basic_list(0, 5, SPEC_I_PT, specified(fibre_channel, b"\x45\0")))
    assert rows[-2:] == [
        Row("transportid", fibre_channel.hex(" "), "24 bytes"),
        Row("partial_transportid", "45 00", "2 bytes"),
    ]


@pytest.mark.parametrize("describe", [*RESERVE_IN_DATA.values(), *RESERVE_OUT_LISTS.values()])
@given(data=st.binary(max_size=120))
def test_any_bytes_have_words(describe, data: bytes) -> None:
    assert all(isinstance(row, Row) for row in describe(data))
