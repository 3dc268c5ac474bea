"""Thresholds of thin provisioning: when hosts are notified, and with which sense data (SBC-4 4.7.3.7)."""

from dataclasses import replace

import pytest

from odx_target.scsi.limits import THRESHOLD_REPEAT_S
from odx_target.scsi.unit.threshold_watch import ThresholdWatch
from odx_target.scsi.unit.thresholds import (
    NO_THRESHOLDS,
    Threshold,
    ThresholdArming,
    ThresholdResource,
    thresholds_at,
)
from odx_target.store.api import Usage
from tests.scsi.array import UnitUnderTest, data_of

MIB = 1 << 20
TOTAL_BYTES = 1000 * MIB
TEST_UNIT_READY = "00 00 00 00 00 00"
OFFSETS = (16, 24, 32, 40)

AVAILABLE_200 = Threshold(is_enabled=True, count=200)
AVAILABLE_50 = Threshold(is_enabled=True, count=50)
USED_800 = Threshold(True, ThresholdArming.INCREASING, ThresholdResource.USED, 800)


class Watched(UnitUnderTest):
    """A logical unit with thresholds, in a pool of 1000 MiB."""

    def __init__(self, *thresholds, **options):
        super().__init__(thresholds=(thresholds + NO_THRESHOLDS)[:4], **options)
        self.watch = ThresholdWatch(self.pool, {0: self.logical_unit}, self.server, self.environment)
        self.use(0)

    def use(self, used_bytes):
        self.pool.room = Usage(used_bytes, TOTAL_BYTES - used_bytes)
        self.check()

    def check(self):
        self.watch.check_soon()
        self.environment.settle()

    def notified(self, nexus=None):
        """Return the offsets in INFORMATION of all pending notifications; other unit attentions must not be pending."""
        found = []
        while (reply := self.command(TEST_UNIT_READY, nexus=nexus)).status:
            assert (reply.sense[0], reply.sense[2], reply.sense[12:14]) == (0xF0, 0x06, b"\x38\x07")
            found.append(int.from_bytes(reply.sense[3:7], "big"))
        return found

    def select(self, page):
        reply = self.command(bytes((0x15, 0x10, 0, 0, len(page) + 4, 0)), bytes(4) + page)
        assert reply.status == 0, reply.sense.hex(" ")


def test_room_that_cleaning_makes_available_reaches_no_threshold():
    unit = Watched(AVAILABLE_200)
    unit.pool.room = Usage(960 * MIB, 40 * MIB, gain_bytes=400 * MIB)
    unit.check()
    assert unit.notified() == []
    unit.pool.room = Usage(960 * MIB, 40 * MIB, gain_bytes=100 * MIB)
    unit.check()
    assert len(unit.notified()) == 1


@pytest.mark.parametrize(
    ("threshold", "used_mib", "times"),
    [
        # the range of a threshold set around the count: from 799.5 to 800.5 MiB used
        (AVAILABLE_200, [799, 800, 800.5], 0),
        (AVAILABLE_200, [801], 1),
        (AVAILABLE_200, [801, 850, 999, 1000], 1),
        (AVAILABLE_200, [801, 799.5, 801], 1),
        (AVAILABLE_200, [801, 799, 801], 2),
        (AVAILABLE_200, [801, 100, 801, 799, 900], 3),
        (USED_800, [799, 800, 800.5], 0),
        (USED_800, [801], 1),
        (USED_800, [801, 850, 999, 1000], 1),
        (USED_800, [801, 799.5, 801], 1),
        (USED_800, [801, 799, 801], 2),
        (replace(AVAILABLE_200, is_enabled=False), [801, 1000], 0),
        (replace(USED_800, is_enabled=False), [801, 1000], 0),
        (replace(AVAILABLE_200, count=0), [1000], 0),
        (replace(USED_800, count=0), [1], 1),
    ],
)
def test_crossings_of_a_threshold(threshold, used_mib, times):
    unit = Watched(threshold)
    found = []
    for mib in used_mib:
        unit.environment.advance(THRESHOLD_REPEAT_S)
        unit.use(int(mib * MIB))
        found += unit.notified()
    assert found == [16] * times


def test_every_nexus_is_notified_once_of_each_threshold():
    unit = Watched(AVAILABLE_200, AVAILABLE_50, USED_800)
    other = unit.new_nexus()
    unit.use(900 * MIB)
    unit.use(960 * MIB)
    for nexus in (unit.nexus, other):
        assert unit.notified(nexus) == [16, 32, 24]
        assert unit.notified(nexus) == []


def test_a_nexus_that_comes_later_is_notified_after_its_power_on():
    unit = Watched(AVAILABLE_200, AVAILABLE_50)
    unit.use(900 * MIB)
    late = unit.new_nexus(quiet=False)
    assert unit.command(TEST_UNIT_READY, nexus=late).sense[12:14] == b"\x29\x00"
    assert unit.notified(late) == [16]
    unit.use(100 * MIB)
    later = unit.new_nexus(quiet=False)
    assert unit.command(TEST_UNIT_READY, nexus=later).sense[12:14] == b"\x29\x00"
    assert unit.notified(later) == []


def test_a_threshold_that_is_crossed_again_and_again_is_reported_from_time_to_time():
    unit = Watched(AVAILABLE_200)
    for _ in range(10):
        unit.use(900 * MIB)
        unit.use(100 * MIB)
    assert unit.notified() == [16]
    unit.use(900 * MIB)
    unit.environment.advance(THRESHOLD_REPEAT_S - 1)
    unit.check()
    assert unit.notified() == []
    unit.environment.advance(1)
    unit.check()
    assert unit.notified() == [16], "it is still reached"


def test_a_reset_arms_the_thresholds():
    unit = Watched(AVAILABLE_200)
    unit.use(900 * MIB)
    unit.server.reset_logical_unit(unit.logical_unit, unit.nexus)
    unit.nexus.unit_attentions.clear()
    unit.check()
    assert unit.notified() == [16]


def test_the_sense_data_has_the_information_in_both_formats():
    unit = Watched(AVAILABLE_200, descriptor_format_sense=True)
    unit.use(900 * MIB)
    sense = unit.command(TEST_UNIT_READY).sense
    assert sense == bytes.fromhex("72 06 38 07 00 00 00 0c  00 0a 80 00 00 00 00 00 00 00 00 10")
    unit.server.reset_logical_unit(unit.logical_unit, unit.nexus)
    unit.nexus.unit_attentions.clear()
    unit.check()
    data = data_of(unit.command("03 00 00 00 ff 00"))
    assert data[:8] == bytes.fromhex("f0 00 06 00 00 00 10 0a")


def test_without_lbpere_nobody_is_notified():
    unit = Watched(AVAILABLE_200)
    unit.select(bytes.fromhex("01 0a") + bytes(10))
    unit.use(900 * MIB)
    assert unit.notified() == []
    late = unit.new_nexus()
    assert unit.notified(late) == []
    unit.select(bytes.fromhex("01 0a 00 00 00 00 00 80 00 00 00 00"))
    late.unit_attentions.clear()
    unit.check()
    assert unit.notified() == [16], "it is still reached"


def test_hosts_set_thresholds_and_a_changed_threshold_is_armed():
    unit = Watched()
    unit.use(900 * MIB)
    page = bytes.fromhex("5c 02 00 2c") + bytes(12)
    used, available = bytes.fromhex("81 02 00 00 00 00 03 20"), bytes.fromhex("80 01 00 00 00 00 00 c8")
    off = bytes.fromhex("00 01 00 00 00 00 00 00")
    unit.select(page + off + used + off + available)
    unit.check()
    assert unit.notified() == [24, 40]
    unit.select(page + off + used + off + available[:-1] + b"\xc9")
    unit.check()
    assert unit.notified() == [40], "the other threshold did not change"
    unit.select(page + off + off + off + off)
    unit.use(1000 * MIB)
    assert unit.notified() == []


def test_room_that_is_not_known_reaches_no_threshold():
    unit = Watched(AVAILABLE_200, USED_800)
    unit.pool.room = Usage(900 * MIB, None)
    unit.check()
    assert unit.notified() == [24], "what is used is known"


def test_reports_of_the_pool_lead_to_one_check():
    unit = Watched(AVAILABLE_200)
    heard = []
    unit.watch.on_reached.append(lambda *news: heard.append(news))
    unit.pool.room = Usage(900 * MIB, 100 * MIB)
    for _ in range(3):
        unit.watch.check_soon()
    assert heard == []
    unit.environment.settle()
    assert heard == [(unit.logical_unit, AVAILABLE_200, unit.pool.room)]
    assert unit.notified() == [16]


@pytest.mark.parametrize(
    ("percentages", "used_mib", "available_mib", "counts"),
    [
        ((80, 95), 0, 1000, [200, 50]),
        ((80, 95), 600, 400, [200, 50]),
        ((50,), 0, 1000, [500]),
        ((), 0, 1000, []),
        ((10, 20, 30, 40), 0, 1000, [900, 800, 700, 600]),
        ((80, 99), 0, 16, [3, 1]),
        ((80,), 0, 1 << 40, [0xFFFF_FFFF]),
        ((80, 95), 600, None, []),
    ],
)
def test_thresholds_at_percentages(percentages, used_mib, available_mib, counts):
    usage = Usage(used_mib * MIB, None if available_mib is None else available_mib * MIB)
    found = thresholds_at(percentages, usage)
    assert found == (tuple(Threshold(is_enabled=True, count=count) for count in counts) + NO_THRESHOLDS)[:4]


def test_many_logical_units_are_checked_in_turns():
    unit = Watched(AVAILABLE_200)
    heard = []
    unit.watch = ThresholdWatch(unit.pool, dict.fromkeys(range(2000), unit.logical_unit), unit.server, unit.environment)
    unit.watch.on_reached.append(lambda *news: heard.append(news))
    unit.pool.room = Usage(900 * MIB, 100 * MIB)
    taken = unit.environment.turns.taken
    unit.check()
    assert unit.environment.turns.taken - taken >= 2
    assert len(heard) == 1
