"""Memory shared by sessions, compared with a simple count: never too much is granted, and all waiting claims are granted."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from odx_target.iscsi.limits import MAX_TRANSFER_BYTES
from odx_target.target.server.memory_claims import Allotment, Claim, Share
from odx_target.target.server.memory_division import MemoryBudget
from odx_target.target.server.memory_limits import DEFAULT_MEMORY_BYTES, FIXED_BYTES, MAX_SHARES, MIN_MEMORY_BYTES
from tests.settings import searching

SESSIONS = 5
GUARANTEED = 10
COMMON = 40
SIZE = SESSIONS * GUARANTEED + COMMON
SIZES = st.one_of(st.integers(0, GUARANTEED), st.integers(GUARANTEED + 1, COMMON))


class Host:
    """The sizes of the claims that one session holds and waits for."""

    def __init__(self, share: Share) -> None:
        self.share = share
        self.held: list[int] = []
        self.waiting: list[tuple[Claim, int]] = []

    def wait(self, size: int) -> None:
        def granted() -> None:
            self.waiting.remove((claim, size))
            self.held.append(size)

        claim = self.share.wait(size, granted)
        self.waiting.append((claim, size))


class AllotmentMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.allotment = Allotment(SIZE, SESSIONS, GUARANTEED)
        self.hosts: list[Host] = []
        self.guaranteed, self.common, self.overdrawn = GUARANTEED, COMMON, 0
        self.percentages: dict[str, int] = {}

    @rule(guaranteed=st.integers(GUARANTEED // 2, 2 * GUARANTEED), common=st.integers(COMMON, 2 * COMMON))
    def resize(self, guaranteed: int, common: int) -> None:
        """Change the allotment. What divides small from large claims stays, and the largest claim still fits."""
        self.guaranteed, self.common = guaranteed, common
        self.allotment.resize(SESSIONS * guaranteed + common, guaranteed)
        self.overdrawn = max(0, -self.allotment.free_common_bytes)

    def pick(self, data: st.DataObject, hosts: list[Host]) -> Host:
        return data.draw(st.sampled_from(hosts))

    @precondition(lambda self: len(self.hosts) < SESSIONS)
    @rule(group=st.sampled_from(["limited", "other"]))
    def begin(self, group: str) -> None:
        self.hosts.append(Host(self.allotment.open_share(group)))

    @rule(percentages=st.sampled_from([{}, {"limited": 50}, {"limited": 1}]))
    def limit_groups(self, percentages: dict[str, int]) -> None:
        self.percentages = percentages
        self.allotment.limit_groups(percentages)

    def common_of(self, group: str) -> int:
        """Return the common memory that the sessions of a group hold."""
        found = 0
        for host in self.hosts:
            if host.share.group == group:
                small = sum(size for size in host.held if size <= GUARANTEED)
                found += sum(size for size in host.held if size > GUARANTEED) + max(0, small - self.guaranteed)
        return found

    @precondition(lambda self: self.hosts)
    @rule(data=st.data(), size=SIZES, may_wait=st.booleans())
    def claim(self, data: st.DataObject, size: int, may_wait: bool) -> None:
        host = self.pick(data, self.hosts)
        others_wait = any(other.waiting for other in self.hosts)
        small_bytes = sum(held for held in host.held if held <= GUARANTEED)
        common = self.common_of(host.share.group)
        if host.share.take(size):
            host.held.append(size)
            percentage = self.percentages.get(host.share.group)
            if percentage is not None and common and self.common_of(host.share.group) > common:
                assert self.common_of(host.share.group) <= self.common * percentage // 100
            return
        # A claim is refused only if the session has no right to it, or if another session would then lack memory.
        is_large = size > GUARANTEED
        assert is_large or small_bytes + size > self.guaranteed or any(waited <= GUARANTEED for _, waited in host.waiting)
        assert others_wait or host.held or any(other.held for other in self.hosts)
        if may_wait:
            host.wait(size)

    @precondition(lambda self: any(host.held for host in self.hosts))
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        host = self.pick(data, [host for host in self.hosts if host.held])
        size = host.held.pop(data.draw(st.integers(0, len(host.held) - 1)))
        host.share.give_back(size)

    @precondition(lambda self: any(host.waiting for host in self.hosts))
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        host = self.pick(data, [host for host in self.hosts if host.waiting])
        claim, _ = host.waiting.pop(data.draw(st.integers(0, len(host.waiting) - 1)))
        host.share.withdraw(claim)
        host.share.withdraw(claim)

    @precondition(lambda self: self.hosts)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        host = self.pick(data, self.hosts)
        self.hosts.remove(host)
        host.share.close()
        host.share.give_back(GUARANTEED)
        host.share.close()
        assert not host.share.take(1)

    @invariant()
    def counts_agree_and_the_limit_holds(self) -> None:
        held = sum(sum(host.held) for host in self.hosts)
        assert self.allotment.used_bytes == held
        assert -self.overdrawn <= self.allotment.free_common_bytes <= self.common
        self.overdrawn = min(self.overdrawn, max(0, -self.allotment.free_common_bytes))
        assert held <= SESSIONS * self.guaranteed + self.common + self.overdrawn
        for host in self.hosts:
            assert host.share.used_bytes == sum(host.held)
            assert list(host.share.waiting) == [claim for claim, _ in host.waiting]

    @invariant()
    def who_waits_waits_for_somebody(self) -> None:
        for host in self.hosts:
            smalls = [size for _, size in host.waiting if size <= GUARANTEED]
            small_bytes = sum(size for size in host.held if size <= GUARANTEED)
            assert not smalls or smalls[0] + small_bytes > self.guaranteed
        if any(host.waiting for host in self.hosts):
            assert any(host.held for host in self.hosts)

    def teardown(self) -> None:
        """Release all held memory in the end. Then no claim waits, and no memory is in use."""
        while any(host.held for host in self.hosts):
            host = next(host for host in self.hosts if host.held)
            host.share.give_back(host.held.pop(0))
            self.counts_agree_and_the_limit_holds()
        assert not any(host.waiting for host in self.hosts)
        assert self.allotment.used_bytes == 0
        assert self.allotment.free_common_bytes == self.common


AllotmentMachine.TestCase.settings = searching(100, steps=60)
TestAllotment = AllotmentMachine.TestCase


def hosts_of(allotment: Allotment, count: int) -> list[Host]:
    return [Host(allotment.open_share()) for _ in range(count)]


def test_what_is_guaranteed_can_be_had_whatever_the_others_hold() -> None:
    allotment = Allotment(SIZE, SESSIONS, GUARANTEED)
    first, second, late = hosts_of(allotment, 3)
    while first.share.take(GUARANTEED + 1):
        pass
    while second.share.take(GUARANTEED):
        pass
    second.wait(COMMON)
    assert late.share.take(GUARANTEED)


def test_one_session_leaves_room_for_the_next() -> None:
    allotment = Allotment(SIZE, SESSIONS, GUARANTEED)
    greedy, late = hosts_of(allotment, 2)
    while greedy.share.take(1):
        pass
    assert greedy.share.used_bytes == GUARANTEED + COMMON * 3 // 4
    assert late.share.take(COMMON // 4)


def test_those_that_wait_take_turns() -> None:
    allotment = Allotment(SIZE, SESSIONS, GUARANTEED)
    holder, first, second = hosts_of(allotment, 3)
    assert holder.share.take(COMMON)
    for _ in range(2):
        first.wait(20)
    for _ in range(2):
        second.wait(20)
    holder.share.give_back(COMMON)
    assert (first.held, second.held) == ([20], [20])


def test_a_large_claim_is_not_overtaken_for_ever() -> None:
    allotment = Allotment(SIZE, SESSIONS, GUARANTEED)
    large, *small = hosts_of(allotment, SESSIONS)
    for host in small:
        assert host.share.take(GUARANTEED)
        assert host.share.take(5)
    large.wait(COMMON)
    for host in small:
        assert not host.share.take(5)
        host.share.give_back(5)
    assert large.held == [COMMON]


def test_nobody_passes_a_large_claim_in_the_line() -> None:
    allotment = Allotment(SIZE, SESSIONS, GUARANTEED)
    large, small, holder, other = hosts_of(allotment, 4)
    assert holder.share.take(20)
    assert other.share.take(20)
    large.wait(COMMON)
    small.wait(GUARANTEED + 1)
    holder.share.give_back(20)
    assert (large.held, small.held) == ([], [])
    other.share.give_back(20)
    assert large.held == [COMMON]


def test_a_session_over_its_part_is_passed_over() -> None:
    allotment = Allotment(SIZE, SESSIONS, GUARANTEED)
    greedy, modest, holder = hosts_of(allotment, 3)
    assert greedy.share.take(25)
    assert holder.share.take(15)
    greedy.wait(12)
    modest.wait(15)
    holder.share.give_back(15)
    assert (greedy.held, modest.held) == ([], [15])
    greedy.share.give_back(25)
    assert greedy.held == [12]


def test_a_session_over_its_part_does_not_hold_up_others() -> None:
    allotment = Allotment(SIZE, SESSIONS, GUARANTEED)
    greedy, modest = hosts_of(allotment, 2)
    assert greedy.share.take(GUARANTEED + 15)
    greedy.wait(GUARANTEED + 15)
    assert modest.share.take(GUARANTEED + 5)


def test_a_grant_that_leads_to_another_claim() -> None:
    allotment = Allotment(SIZE, SESSIONS, GUARANTEED)
    holder, host = hosts_of(allotment, 2)
    assert holder.share.take(COMMON)
    got: list[int] = []

    def granted() -> None:
        got.append(1)
        host.share.give_back(15)
        if len(got) < 3:
            host.share.wait(15, granted)

    host.share.wait(15, granted)
    holder.share.give_back(COMMON)
    assert got == [1, 1, 1]
    assert allotment.used_bytes == 0


@pytest.mark.parametrize("limit_bytes", [MIN_MEMORY_BYTES, MIN_MEMORY_BYTES + 1, DEFAULT_MEMORY_BYTES, 1 << 40])
def test_the_parts_of_a_budget_are_no_more_than_the_whole(limit_bytes: int) -> None:
    budget = MemoryBudget(limit_bytes)
    parts = [budget.unsolicited, budget.written, budget.read]
    assert FIXED_BYTES + sum(MAX_SHARES * part.guaranteed_bytes + part.common_bytes for part in parts) <= limit_bytes
    for part in (budget.written, budget.read):
        assert max(part.common_bytes, part.guaranteed_bytes) >= MAX_TRANSFER_BYTES
    memories = [budget.open_session() for _ in range(MAX_SHARES)]
    assert budget.open_session() is None
    for memory in memories:
        assert memory is not None
        assert memory.unsolicited.take(budget.unsolicited.guaranteed_bytes)
        assert memory.written.take(budget.written.guaranteed_bytes)
        assert memory.read.take(budget.read.guaranteed_bytes)
        assert memory.used_bytes == sum(part.guaranteed_bytes for part in parts)
        memory.close()
    assert budget.used_bytes == 0


@pytest.mark.parametrize("limit_bytes", [MIN_MEMORY_BYTES, DEFAULT_MEMORY_BYTES, 1 << 40])
def test_a_changed_budget_has_the_parts_of_a_new_one(limit_bytes: int) -> None:
    budget, new = MemoryBudget(MIN_MEMORY_BYTES + (64 << 20)), MemoryBudget(limit_bytes)
    memory = budget.open_session()
    assert memory is not None
    held_bytes = budget.read.guaranteed_bytes
    assert memory.read.take(held_bytes)
    budget.set_limit(limit_bytes)
    for part, like in zip(
        (budget.unsolicited, budget.written, budget.read), (new.unsolicited, new.written, new.read), strict=True
    ):
        assert (part.size_bytes, part.guaranteed_bytes, part.common_bytes) == (
            like.size_bytes,
            like.guaranteed_bytes,
            like.common_bytes,
        )
    assert budget.used_bytes == held_bytes
    memory.read.give_back(held_bytes)
    assert budget.used_bytes == 0
    with pytest.raises(ValueError, match="too few"):
        budget.set_limit(MIN_MEMORY_BYTES - 1)


def test_a_larger_budget_serves_those_that_wait() -> None:
    allotment = Allotment(SIZE, SESSIONS, GUARANTEED)
    first, second = hosts_of(allotment, 2)
    assert first.share.take(COMMON)
    assert not second.share.take(COMMON)
    second.wait(COMMON)
    allotment.resize(SIZE + COMMON, GUARANTEED)
    assert (second.held, second.waiting) == ([COMMON], [])


def test_a_group_leaves_memory_for_others() -> None:
    allotment = Allotment(SIZE, SESSIONS, GUARANTEED)
    allotment.limit_groups({"a": 50})
    first, second = (Host(allotment.open_share("a")) for _ in range(2))
    other = Host(allotment.open_share("b"))
    assert first.share.take(COMMON // 2)
    assert not second.share.take(GUARANTEED + 1), "the group has its part"
    second.wait(GUARANTEED + 1)
    assert second.share.take(GUARANTEED), "a session has its own part in any case"
    assert other.share.take(COMMON // 8), "the waiting claim takes nothing from the others"
    allotment.limit_groups({"a": 80})
    assert second.held == [GUARANTEED + 1]


def test_a_group_without_memory_may_take_one_large_claim() -> None:
    allotment = Allotment(SIZE, SESSIONS, GUARANTEED)
    allotment.limit_groups({"a": 1})
    first, second = (Host(allotment.open_share("a")) for _ in range(2))
    assert first.share.take(COMMON)
    first.share.give_back(COMMON)
    assert first.share.take(GUARANTEED + 1)
    assert not second.share.take(COMMON - GUARANTEED - 1)


def test_small_claims_of_a_group_do_not_overtake_a_large_one_for_ever() -> None:
    allotment = Allotment(SIZE, SESSIONS, GUARANTEED)
    allotment.limit_groups({"a": 60})
    first, second, third = (Host(allotment.open_share("a")) for _ in range(3))
    assert first.share.take(GUARANTEED + 1)
    assert not second.share.take(COMMON // 2)
    second.wait(COMMON // 2)
    assert not third.share.take(GUARANTEED + 1), "it fits, but another claim of the group waits for its turn"
    first.share.give_back(GUARANTEED + 1)
    assert second.held == [COMMON // 2]


def test_a_budget_that_is_too_small() -> None:
    with pytest.raises(ValueError, match="too few"):
        MemoryBudget(MIN_MEMORY_BYTES - 1)
