"""Task management, attaching and detaching nexuses, and the unit attentions that result."""

import pytest

from odx_target.scsi import sense
from odx_target.scsi.nexus import MAX_UNIT_ATTENTIONS
from tests.scsi.array import UnitUnderTest, code_of, data_of

WRITE_ONE_SECTOR = "2a 00 00 00 00 03 00 00 01 00"
READ_ONE_SECTOR = "28 00 00 00 00 03 00 00 01 00"
TEST_UNIT_READY = "00 00 00 00 00 00"
POWER_ON, BUS_RESET, DEVICE_RESET = (6, 0x29, 0), (6, 0x29, 2), (6, 0x29, 3)


@pytest.fixture
def cold_unit():
    unit = UnitUnderTest()
    unit.volume.is_cold = lambda: True
    unit.volume.read_delay_s = 1.0
    return unit


def cold_write(unit, nexus=None, tag=None):
    return unit.start(WRITE_ONE_SECTOR, b"\xaa" * 512, nexus=nexus, tag=tag)


ABORTS = {
    "abort task": lambda unit: unit.server.abort_task(unit.nexus, 0, 5),
    "abort task set": lambda unit: unit.server.abort_task_set(unit.nexus, 0),
    "clear task set": lambda unit: unit.server.clear_task_set(unit.nexus, 0),
    "logical unit reset": lambda unit: unit.server.reset_logical_unit(unit.logical_unit, unit.nexus),
    "target reset": lambda unit: unit.server.reset_target(unit.nexus),
    "reset of all": lambda unit: unit.server.reset_target(None),
    "nexus loss": lambda unit: unit.server.detach(unit.nexus),
}


@pytest.mark.parametrize("abort", ABORTS.values(), ids=ABORTS)
@pytest.mark.parametrize("is_started", [False, True])
@pytest.mark.parametrize(
    ("cdb", "data"),
    [
        (WRITE_ONE_SECTOR, b"\xaa" * 512),
        ("93 00 00 00 00 00 00 00 00 03 00 00 00 09 00 00", b"\xaa" * 512),
        ("42 00 00 00 00 00 00 00 18 00", bytes.fromhex("0016 0010 00000000 0000000000000003 00000001 00000000")),
    ],
)
@pytest.mark.parametrize("warms_up", [False, True])
def test_nothing_changes_the_medium_after_an_abort(cold_unit, abort, is_started, cdb, data, warms_up):
    unit = cold_unit
    unit.volume.write(0, [b"\xff" * 4096 * 8])
    unit.volume.writes = 0
    started = unit.start(cdb, data, tag=5)
    if is_started:
        unit.environment.settle()
    abort(unit)
    assert started.task.aborted
    unit.volume.is_cold = lambda: not warms_up
    unit.environment.advance(10.0)
    assert started.reply.status == 0x40
    assert not unit.volume.writes
    assert not unit.logical_unit.tasks.members
    assert not unit.internal_errors


def test_an_aborted_verify_and_an_aborted_stop_end(cold_unit):
    unit = cold_unit
    unit.pool.flush_delay_s = 1.0
    started = [unit.start("2f 00 00 00 00 00 00 1f ff 00"), unit.start("1b" + "00" * 5)]
    unit.environment.settle()
    unit.server.abort_task_set(unit.nexus, 0)
    unit.environment.advance(100.0)
    assert [one.reply.status for one in started] == [0x40, 0x40]
    assert not unit.logical_unit.stopped


def test_abort_task_finds_only_the_tag_of_its_own_nexus_and_lun(cold_unit):
    unit = cold_unit
    other = unit.new_nexus()
    started = cold_write(unit, tag=5)
    assert not unit.server.abort_task(unit.nexus, 0, 6)
    assert not unit.server.abort_task(other, 0, 5)
    assert not unit.server.abort_task(unit.nexus, 1, 5)
    unit.environment.advance(10.0)
    assert started.reply.status == 0
    assert not unit.server.abort_task(unit.nexus, 0, 5), "it has ended"


def test_abort_task_set_leaves_others_alone(cold_unit):
    unit = cold_unit
    other = unit.new_nexus()
    mine, theirs = cold_write(unit), cold_write(unit, other)
    unit.server.abort_task_set(unit.nexus, 0)
    unit.environment.advance(10.0)
    assert (mine.reply.status, theirs.reply.status) == (0x40, 0)
    assert not unit.nexus.unit_attentions
    assert not other.unit_attentions


def test_clear_task_set_tells_those_whose_tasks_it_ended(cold_unit):
    unit = cold_unit
    other, idle = unit.new_nexus(), unit.new_nexus()
    cold_write(unit)
    theirs = cold_write(unit, other)
    cold_write(unit, other)
    unit.server.clear_task_set(unit.nexus, 0)
    unit.environment.advance(10.0)
    assert theirs.reply.status == 0x40
    assert code_of(unit.command(TEST_UNIT_READY, nexus=other)) == (6, 0x2F, 0)
    assert unit.command(TEST_UNIT_READY, nexus=other).status == 0
    assert unit.command(TEST_UNIT_READY, nexus=idle).status == 0
    assert unit.command(TEST_UNIT_READY).status == 0


@pytest.mark.parametrize(
    ("reset", "code"),
    [
        (lambda unit: unit.server.reset_logical_unit(unit.logical_unit, unit.nexus), DEVICE_RESET),
        (lambda unit: unit.server.reset_target(unit.nexus), BUS_RESET),
    ],
)
def test_a_reset_is_told_once_to_every_nexus(reset, code):
    unit = UnitUnderTest()
    other = unit.new_nexus()
    resets = []
    unit.logical_unit.on_reset.append(resets.append)
    reset(unit)
    reset(unit)
    assert resets == [unit.logical_unit] * 2
    for nexus in (unit.nexus, other):
        assert code_of(unit.command(TEST_UNIT_READY, nexus=nexus)) == code
        assert unit.command(TEST_UNIT_READY, nexus=nexus).status == 0


def test_a_target_reset_skips_logical_units_that_are_removed_meanwhile():
    unit, others = UnitUnderTest(), [UnitUnderTest().logical_unit for _ in range(3)]
    unit.nexus.logical_units = {0: unit.logical_unit, **dict(enumerate(others, 1))}
    resets = []
    for each in unit.nexus.logical_units.values():
        each.on_reset.append(resets.append)
    walk = unit.server.target_reset(unit.nexus)
    while not resets:
        assert next(walk) > 0
    assert resets == [unit.logical_unit]
    del unit.nexus.logical_units[2]
    assert len(list(walk)) >= 3
    assert resets == [unit.logical_unit, others[0], others[2]]


def test_other_nexuses_use_logical_units_that_a_target_reset_has_not_reached():
    unit, second = UnitUnderTest(), UnitUnderTest().logical_unit
    other = unit.new_nexus()
    for nexus in (unit.nexus, other):
        nexus.logical_units = {0: second, 1: unit.logical_unit}
    resets = []
    second.on_reset.append(resets.append)
    walk = unit.server.target_reset(unit.nexus)
    while not resets:
        next(walk)
    assert unit.command(TEST_UNIT_READY, nexus=other, lun=1).status == 0
    assert code_of(unit.command(TEST_UNIT_READY, nexus=other, lun=0)) == BUS_RESET
    list(walk)
    assert code_of(unit.command(TEST_UNIT_READY, nexus=other, lun=1)) == BUS_RESET
    for nexus in (unit.nexus, other):
        for lun in (0, 1):
            unit.command(TEST_UNIT_READY, nexus=nexus, lun=lun)
        assert not nexus.unit_attentions


def test_a_new_nexus_is_told_of_power_on_once_per_lun():
    unit = UnitUnderTest()
    nexus = unit.new_nexus(quiet=False)
    nexus.logical_units = {0: unit.logical_unit, 1: unit.logical_unit}
    assert code_of(unit.command(READ_ONE_SECTOR, nexus=nexus)) == POWER_ON
    assert unit.command(READ_ONE_SECTOR, nexus=nexus).status == 0
    unit.server.attach(nexus)
    assert not nexus.unit_attentions, "attached once only"


def test_an_added_logical_unit_is_told_through_all_others_and_is_new_itself():
    unit, other = UnitUnderTest(), UnitUnderTest()
    luns = {0: unit.logical_unit, 3: unit.logical_unit}
    sees, sees_not = unit.new_nexus(), unit.new_nexus()
    sees.logical_units = luns
    luns[7] = other.logical_unit
    unit.server.logical_unit_added(other.logical_unit)
    assert sees.unit_attentions == {7: [(0x29, 0)]}, "at once, before its first command"
    assert len(list(unit.server.luns_changed([sees], {other.logical_unit}))) == len(luns), "a pause is possible after each LUN"
    assert sees.unit_attentions == {0: [(0x3F, 0x0E)], 3: [(0x3F, 0x0E)], 7: [(0x29, 0)]}
    assert sees_not.unit_attentions == {}
    unit.command("a0 00 00 00 00 00 00 00 00 40 00 00", nexus=sees)
    assert sees.unit_attentions == {7: [(0x29, 0)]}, "REPORT LUNS tells it"


def test_changed_luns_are_reported_once_to_each_nexus():
    """SAM-5 5.14. Other conditions, and those of other nexuses, stay. LUICLR of VPD page 86h says so (SPC-4 7.8.7)."""
    unit, other = UnitUnderTest(), UnitUnderTest()
    one, two = unit.new_nexus(), unit.new_nexus()
    for nexus in (one, two):
        nexus.logical_units = {0: unit.logical_unit, 3: other.logical_unit}
        list(unit.server.luns_changed([nexus]))
        nexus.establish_unit_attention(3, 0x2A, 0x09)
    assert code_of(unit.command("00 00 00 00 00 00", nexus=one)) == (6, 0x3F, 0x0E)
    assert one.unit_attentions == {3: [(0x2A, 0x09)]}
    assert two.unit_attentions == {0: [(0x3F, 0x0E)], 3: [(0x3F, 0x0E), (0x2A, 0x09)]}
    assert data_of(unit.command("12 01 86 00 ff 00", nexus=two))[7] & 1 == 1
    assert data_of(unit.command("03 00 00 00 12 00", nexus=two))[12:14] == b"\x3f\x0e", "REQUEST SENSE reports it too"
    assert two.unit_attentions == {3: [(0x2A, 0x09)]}


def test_a_removed_logical_unit_is_told_through_all_others():
    unit, other, third = UnitUnderTest(), UnitUnderTest(), UnitUnderTest()
    nexus, stranger = unit.new_nexus(), unit.new_nexus()
    luns = nexus.logical_units = {0: unit.logical_unit, 3: unit.logical_unit, 7: other.logical_unit, 9: third.logical_unit}
    unit.server.capacity_changed(other.logical_unit)
    assert unit.server.logical_unit_removed(other.logical_unit) == [nexus], "the other nexus never had it"
    del luns[7]
    reports = unit.server.luns_changed([nexus])
    next(reports)
    unit.server.logical_unit_removed(third.logical_unit)  # while the reports are made
    del luns[9]
    assert list(reports)
    assert nexus.unit_attentions == {0: [(0x3F, 0x0E)], 3: [(0x3F, 0x0E)]}
    assert not stranger.unit_attentions


def test_a_reset_makes_older_attentions_old_news():
    unit = UnitUnderTest()
    nexus = unit.new_nexus(quiet=False)
    unit.server.capacity_changed(unit.logical_unit)
    assert nexus.unit_attentions == {0: [(0x29, 0), (0x2A, 9)]}
    unit.server.reset_logical_unit(unit.logical_unit, None)
    assert nexus.unit_attentions == {0: [(0x29, 3)]}


def test_the_same_attention_is_told_once():
    unit = UnitUnderTest()
    for _ in range(3):
        unit.server.capacity_changed(unit.logical_unit)
    assert code_of(unit.command(READ_ONE_SECTOR)) == (6, 0x2A, 9)
    assert unit.command(READ_ONE_SECTOR).status == 0


def test_attentions_past_the_limit_are_dropped():
    unit = UnitUnderTest()
    for ascq in range(40):
        unit.nexus.establish_unit_attention(0, 0x3F, ascq)
    assert len(unit.nexus.unit_attentions[0]) == MAX_UNIT_ATTENTIONS


def test_inquiry_and_report_luns_neither_tell_nor_clear():
    unit = UnitUnderTest()
    unit.server.capacity_changed(unit.logical_unit)
    assert unit.command("12 00 00 00 24 00").status == 0
    assert unit.command("a0 00 00 00 00 00 00 00 00 ff 00 00").status == 0
    assert code_of(unit.command(TEST_UNIT_READY)) == (6, 0x2A, 9)


def test_report_luns_clears_what_it_tells_itself():
    unit = UnitUnderTest()
    unit.server.tell_all(unit.logical_unit, sense.REPORTED_LUNS_DATA_HAS_CHANGED)
    unit.command("a0 00 00 00 00 00 00 00 00 ff 00 00")
    assert unit.command(TEST_UNIT_READY).status == 0


@pytest.mark.parametrize(("descriptor", "at"), [("00", (2, 12, 13)), ("01", (1, 2, 3))])
def test_request_sense_tells_and_clears(descriptor, at):
    unit = UnitUnderTest()
    unit.server.capacity_changed(unit.logical_unit)
    data = data_of(unit.command(f"03 {descriptor} 00 00 ff 00"))
    assert tuple(data[index] for index in at) == (6, 0x2A, 9)
    assert unit.command(TEST_UNIT_READY).status == 0


def test_a_refused_command_is_told_of_an_attention_first():
    unit = UnitUnderTest()
    unit.server.capacity_changed(unit.logical_unit)
    assert code_of(unit.command("ff 00 00 00 00 00")) == (6, 0x2A, 9)
    assert code_of(unit.command("ff 00 00 00 00 00")) == (5, 0x20, 0)


def test_attentions_belong_to_a_lun():
    unit = UnitUnderTest()
    unit.nexus.logical_units = {0: unit.logical_unit, 1: unit.logical_unit}
    unit.nexus.establish_unit_attention(1, 0x3F, 3)
    assert unit.command(TEST_UNIT_READY).status == 0
    assert code_of(unit.command(TEST_UNIT_READY, lun=1)) == (6, 0x3F, 3)


def test_sense_in_descriptor_format_where_the_control_page_says_so():
    unit = UnitUnderTest(descriptor_format_sense=True)
    unit.server.capacity_changed(unit.logical_unit)
    assert unit.command(TEST_UNIT_READY).sense == bytes.fromhex("72 06 2a 09 00 00 00 00")


def test_nexus_loss_is_told_once_to_listeners():
    unit = UnitUnderTest()
    lost = []
    unit.server.on_nexus_loss.append(lost.append)
    unit.server.detach(unit.nexus)
    unit.server.detach(unit.nexus)
    assert lost == [unit.nexus]
    assert not unit.server.nexuses


def test_a_nexus_that_does_not_see_a_unit_is_not_told_of_it():
    unit = UnitUnderTest()
    stranger = unit.new_nexus()
    stranger.logical_units = {}
    unit.server.reset_logical_unit(unit.logical_unit, unit.nexus)
    assert not stranger.unit_attentions
    unit.server.abort_task_set(stranger, 0)
    unit.server.clear_task_set(stranger, 0)
