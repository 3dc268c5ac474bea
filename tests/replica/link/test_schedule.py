"""Tests of the order in which the classes and channels send."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from odx_target.replica.link.channels import Channel, TrafficClass
from odx_target.replica.link.frame import Frame
from odx_target.replica.link.kinds import Kind
from odx_target.replica.link.limits import MAX_CREDIT_BYTES
from odx_target.replica.link.schedule import WEIGHTS, Schedule
from tests.settings import searching


def channel_with(number: int, traffic_class: TrafficClass, sizes: list[int]) -> Channel:
    channel = Channel(number, traffic_class, is_ours=True)
    channel.is_answered = True
    channel.send_credit = MAX_CREDIT_BYTES
    for size in sizes:
        channel.put(Frame(Kind.DATA, number, body=bytes(size)))
    return channel


def taken(schedule: Schedule, size_bytes: int) -> Counter[TrafficClass]:
    """Take frames of this total size, and return the bytes of each class."""
    found: Counter[TrafficClass] = Counter()
    while found.total() < size_bytes:
        channel, frame = schedule.take() or (None, None)
        assert channel is not None
        assert frame is not None
        found[channel.traffic_class] += frame.size_bytes
        channel.put(Frame(Kind.DATA, channel.number, body=frame.body))
        channel.send_credit = MAX_CREDIT_BYTES
        schedule.note(channel)
    return found


@searching(25)
@given(st.dictionaries(st.sampled_from(list(WEIGHTS)), st.integers(1000, 260 << 10), min_size=1))
def test_each_class_gets_its_share(sizes: dict[TrafficClass, int]) -> None:
    schedule = Schedule()
    for number, (traffic_class, size) in enumerate(sizes.items()):
        schedule.note(channel_with(number, traffic_class, [size]))
    found = taken(schedule, 12 << 20)
    weights = sum(WEIGHTS[each] for each in sizes)
    for traffic_class in sizes:
        assert abs(found[traffic_class] / found.total() - WEIGHTS[traffic_class] / weights) < 0.03


def test_resync_keeps_a_tenth_of_the_link_whatever_the_others_send() -> None:
    schedule = Schedule()
    for number, traffic_class in enumerate([TrafficClass.TOKEN] * 10 + [TrafficClass.SNAPSHOT] * 5 + [TrafficClass.RESYNC]):
        schedule.note(channel_with(number, traffic_class, [260 << 10]))
    found = taken(schedule, 16 << 20)
    assert found[TrafficClass.RESYNC] > 0.1 * found.total()


def test_synchronous_frames_come_first() -> None:
    schedule = Schedule()
    schedule.note(channel_with(1, TrafficClass.TOKEN, [10, 10]))
    schedule.note(channel_with(2, TrafficClass.SYNCHRONOUS, [10, 10]))
    assert schedule.has_urgent()
    order = []
    while found := schedule.take():
        order.append(found[0].number)
    assert order == [2, 2, 1, 1]
    assert schedule.is_empty()


def test_channels_of_a_class_take_turns() -> None:
    schedule = Schedule()
    for number in range(3):
        schedule.note(channel_with(number, TrafficClass.TOKEN, [10, 10]))
    order = []
    while found := schedule.take():
        order.append(found[0].number)
    assert order == [0, 1, 2, 0, 1, 2]


def test_a_channel_without_credit_does_not_delay_others() -> None:
    schedule = Schedule()
    poor = channel_with(1, TrafficClass.TOKEN, [1000])
    poor.send_credit = 100
    schedule.note(poor)
    schedule.note(channel_with(2, TrafficClass.TOKEN, [1000]))
    assert [found[0].number for found in iter(schedule.take, None) if found] == [2]
    poor.add_credit(2000)
    schedule.note(poor)
    assert [found[0].number for found in iter(schedule.take, None) if found] == [1]
