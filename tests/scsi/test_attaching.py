"""A nexus with many LUNs is attached and detached by few steps. Its LUNs share lists of unit attentions at first."""

import pytest

from odx_target.scsi.nexus import Nexus
from odx_target.scsi.target_port import iscsi_port
from odx_target.scsi.unit.logical_unit import LogicalUnit
from tests.copymgr.array import code_of
from tests.scsi.test_task_management import TEST_UNIT_READY, UnitUnderTest

COUNT_LUNS = 16_384


def attached(unit: UnitUnderTest, count_luns: int = 4) -> Nexus:
    nexus = Nexus("iqn.host", "iqn.host,i,9", iscsi_port("iqn.target"), dict.fromkeys(range(count_luns), unit.logical_unit))
    unit.server.attach(nexus)
    return nexus


def test_conditions_of_one_lun_do_not_change_other_luns() -> None:
    unit = UnitUnderTest()
    nexus = attached(unit)
    assert nexus.unit_attentions == {lun: [(0x29, 0)] for lun in range(4)}
    nexus.establish_unit_attention(1, 0x2A, 9)
    nexus.clear_unit_attention(2, 0x29, 0)
    assert nexus.take_unit_attention(3) == (0x29, 0)
    assert nexus.unit_attentions == {0: [(0x29, 0)], 1: [(0x29, 0), (0x2A, 9)]}
    assert nexus.take_unit_attention(1) == (0x29, 0)
    assert nexus.unit_attentions == {0: [(0x29, 0)], 1: [(0x2A, 9)]}
    assert code_of(unit.command(TEST_UNIT_READY, nexus=nexus)) == "6/29/00"


def test_reached_thresholds_of_one_lun_do_not_change_other_luns() -> None:
    unit = UnitUnderTest()
    unit.logical_unit.reports_thresholds = True
    unit.logical_unit.thresholds.reached.add(1)
    nexus = attached(unit)
    first = nexus.unit_attentions[0]
    assert len(first) == 2
    assert nexus.unit_attentions == dict.fromkeys(range(4), first)
    nexus.take_unit_attention(0)
    assert nexus.unit_attentions[0] == first[1:]
    assert nexus.unit_attentions[1] == first


def test_attaching_takes_no_step_for_each_lun(monkeypatch: pytest.MonkeyPatch) -> None:
    unit = UnitUnderTest()
    calls: list[str] = []
    for owner, name in ((Nexus, "establish_unit_attention"), (LogicalUnit, "reached_thresholds")):
        real = getattr(owner, name)

        def counted(*arguments: object, real: object = real, name: str = name) -> object:
            calls.append(name)
            return real(*arguments)  # type: ignore[operator]

        monkeypatch.setattr(owner, name, counted)
    nexus = attached(unit, COUNT_LUNS)
    assert len(nexus.unit_attentions) == COUNT_LUNS
    assert calls == []
    monkeypatch.setattr(unit.server, "abort_task_set", lambda *_: calls.append("abort"))
    unit.server.detach(nexus)
    assert calls == []
    unit.logical_unit.reports_thresholds = True
    unit.logical_unit.thresholds.reached.add(0)
    attached(unit, COUNT_LUNS)
    assert calls == ["reached_thresholds", "establish_unit_attention"], "once for all LUNs with the same thresholds"
