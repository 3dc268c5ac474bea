"""Hosts register, reserve, preempt, leave and lose power in any order. All replies agree with a simple model."""

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from odx_target.scsi.reply import Reply
from tests.scsi.array import code_of
from tests.scsi.reservation_model import CONFLICT, GOOD, POWER_ON, TARGET_RESET, UNIT_RESET, Answer, Model
from tests.scsi.reserving import (
    ALL_TG_PT,
    APTPL,
    BLOCK,
    CLEAR,
    MOVE_APTPL,
    PREEMPT,
    PREEMPT_AND_ABORT,
    READ,
    READ_FULL_STATUS,
    REGISTER,
    REGISTER_AND_IGNORE,
    REGISTER_AND_MOVE,
    RELEASE,
    RESERVE,
    SPEC_I_PT,
    TEST_UNIT_READY,
    UNREG,
    WRITE,
    ClusterOnDisk,
    basic_list,
    move_list,
    port_name,
    specified,
    transport_id,
)
from tests.settings import searching

INITIATORS, PORTS = 3, 2
HOSTS = INITIATORS * PORTS

hosts = st.integers(0, HOSTS - 1)
new_keys = st.sampled_from([0, 1, 1, 2, 3])
kinds = st.sampled_from([1, 3, 5, 6, 7, 8, 1, 3, 5, 6, 7, 8, 0, 2, 15])
scopes = st.sampled_from([0] * 9 + [1])
mostly = st.sampled_from([True] * 5 + [False])


class ReservationMachine(RuleBasedStateMachine):
    @initialize(
        seed=st.integers(0, 1000),
        keys=st.lists(new_keys, min_size=HOSTS, max_size=HOSTS),
        kind=kinds,
        persists=st.booleans(),
    )
    def start(self, seed: int, keys: list[int], kind: int, persists: bool) -> None:
        """Begin with a cluster of registered hosts, because random steps would need too long to build one."""
        self.cluster = ClusterOnDisk(HOSTS, seed, PORTS)
        self.model = Model(HOSTS)
        for host, key in enumerate(keys):
            self.register_and_ignore(host, 0, key, persists)
        self.reserve(seed % HOSTS, True, kind, 0)

    def actor(self, host: int, is_holder: bool) -> int:
        """Return the host itself, or a host that holds the reservation."""
        holders = self.model.holders()
        return holders[host % len(holders)] if is_holder and holders else host

    def teardown(self) -> None:
        self.cluster.abandon()

    def is_told(self, host: int, reply: Reply, *, kept_out: bool = False) -> bool:
        """True if the command reported a unit attention instead of running, as it must if one is pending."""
        told = self.model.first_attention(host, kept_out=kept_out)
        if told is not None:
            assert code_of(reply) == (6, *told)
        return told is not None

    def key_of(self, host: int, is_right: bool) -> int:
        return self.model.keys.get(host, 0) if is_right else 2

    def send(self, host: int, service_action: int, data: bytes, kind: int = 0, scope: int = 0) -> Reply | None:
        """Return the reply; None if the command reported a unit attention instead."""
        reply = self.cluster.send(host, service_action, data, kind=kind, scope=scope)
        return None if self.is_told(host, reply) else reply

    @rule(host=hosts, is_right=mostly, new_key=new_keys, persists=st.booleans(), everywhere=st.booleans())
    def register(self, host: int, is_right: bool, new_key: int, persists: bool, everywhere: bool) -> None:
        key = self.key_of(host, is_right)
        reply = self.send(host, REGISTER, basic_list(key, new_key, APTPL * persists | ALL_TG_PT * everywhere))
        if reply is not None:
            twins = twins_of(host) if everywhere else ()
            assert answer_of(reply) == self.model.register(host, key, new_key, persists, None, twins)

    @rule(
        host=hosts,
        new_key=new_keys,
        persists=st.booleans(),
        everywhere=st.booleans(),
        others=st.lists(st.integers(0, INITIATORS - 1), max_size=2, unique=True),
    )
    def register_others(self, host: int, new_key: int, persists: bool, everywhere: bool, others: list[int]) -> None:
        key = self.key_of(host, True)
        more = specified(*(transport_id(port_name(other)) for other in others))
        flags = SPEC_I_PT | APTPL * persists | ALL_TG_PT * everywhere
        reply = self.send(host, REGISTER, basic_list(key, new_key, flags, more))
        if reply is not None:
            ports = range(PORTS) if everywhere else [host // INITIATORS]
            named = [other + port * INITIATORS for other in others for port in ports]
            twins = twins_of(host) if everywhere else ()
            assert answer_of(reply) == self.model.register(host, key, new_key, persists, named, twins)

    @rule(host=hosts, key=new_keys, new_key=new_keys, persists=st.booleans(), everywhere=st.booleans())
    def register_and_ignore(self, host: int, key: int, new_key: int, persists: bool, everywhere: bool = False) -> None:
        flags = APTPL * persists | ALL_TG_PT * everywhere
        reply = self.send(host, REGISTER_AND_IGNORE, basic_list(key, new_key, flags))
        if reply is not None:
            twins = twins_of(host) if everywhere else ()
            assert answer_of(reply) == self.model.register_and_ignore(host, new_key, persists, None, twins)

    @rule(host=hosts, is_right=mostly, kind=kinds, scope=scopes)
    def reserve(self, host: int, is_right: bool, kind: int, scope: int) -> None:
        key = self.key_of(host, is_right)
        reply = self.send(host, RESERVE, basic_list(key), kind, scope)
        if reply is not None:
            assert answer_of(reply) == self.model.reserve(host, key, scope, kind)

    @rule(host=hosts, holds=st.booleans(), is_right=mostly, kind=kinds, scope=scopes, same=mostly)
    def release(self, host: int, holds: bool, is_right: bool, kind: int, scope: int, same: bool) -> None:
        host = self.actor(host, holds)
        key = self.key_of(host, is_right)
        kind = self.model.kind if same else kind
        reply = self.send(host, RELEASE, basic_list(key), kind, scope)
        if reply is not None:
            assert answer_of(reply) == self.model.release(host, key, scope, kind)

    @rule(host=hosts, is_right=mostly)
    def clear(self, host: int, is_right: bool) -> None:
        key = self.key_of(host, is_right)
        reply = self.send(host, CLEAR, basic_list(key))
        if reply is not None:
            assert answer_of(reply) == self.model.clear(host, key)

    @rule(
        host=hosts,
        is_right=mostly,
        victims_key=st.one_of(new_keys, st.none()),
        kind=st.one_of(kinds, st.none()),
        scope=scopes,
        aborts=st.booleans(),
    )
    def preempt(self, host: int, is_right: bool, victims_key: int | None, kind: int | None, scope: int, aborts: bool) -> None:
        """If `victims_key` or `kind` is None, the values of the present reservation are used."""
        key = self.key_of(host, is_right)
        if victims_key is None:
            victims_key = self.model.keys.get(self.actor(host, True), 0)
        kind = self.model.kind if kind is None else kind
        reply = self.send(host, PREEMPT_AND_ABORT if aborts else PREEMPT, basic_list(key, victims_key), kind, scope)
        if reply is not None:
            assert answer_of(reply) == self.model.preempt(host, key, victims_key, scope, kind)

    @rule(
        host=hosts,
        holds=mostly,
        is_right=mostly,
        new_key=new_keys,
        to=hosts,
        unregister=st.booleans(),
        persists=st.booleans(),
    )
    def move(self, host: int, holds: bool, is_right: bool, new_key: int, to: int, unregister: bool, persists: bool) -> None:
        host = self.actor(host, holds)
        key = self.key_of(host, is_right)
        flags = UNREG * unregister | MOVE_APTPL * persists
        initiator, port = transport_id(port_name(to % INITIATORS)), 1 + to // INITIATORS
        reply = self.send(host, REGISTER_AND_MOVE, move_list(key, new_key, initiator, flags, port))
        if reply is not None:
            assert answer_of(reply) == self.model.move(host, key, new_key, to, unregister, persists, twins_of(host))

    @rule(host=hosts, command=st.sampled_from([(READ, b"", "read"), (WRITE, BLOCK, "write"), (TEST_UNIT_READY, b"", "")]))
    def use(self, host: int, command: tuple[str, bytes, str]) -> None:
        cdb, data, what = command
        kept_out = bool(what) and not self.model.may(host, what)
        reply = self.cluster.command(cdb, data, nexus=self.cluster.hosts[host])
        if not self.is_told(host, reply, kept_out=kept_out):
            assert answer_of(reply) == (CONFLICT if kept_out else GOOD)

    @rule(host=hosts, what=st.sampled_from(["session", "unit", "target", "process", "power"]))
    def disturb(self, host: int, what: str) -> None:
        """Do something that reservations survive. They survive a loss of power, or a killed process, only with APTPL."""
        if what == "session":
            self.cluster.server.detach(self.cluster.hosts[host])
            self.cluster.hosts[host] = self.cluster.attach(host)
            self.cluster.hosts[host].establish_unit_attention(0, *POWER_ON)
            self.model.told[host] = [POWER_ON]
        elif what == "unit":
            self.cluster.server.reset_logical_unit(self.cluster.logical_unit, None)
            self.model.reset(UNIT_RESET)
        elif what == "target":
            self.cluster.server.reset_target(None)
            self.model.reset(TARGET_RESET)
        else:
            self.cluster.kill() if what == "process" else self.cluster.lose_power()
            self.model.power_on()

    @invariant()
    def everybody_sees_the_same(self) -> None:
        assert [self.cluster.pending(host) for host in range(HOSTS)] == self.model.told
        assert self.cluster.keys() == list(self.model.keys.values())
        holders = self.model.holders()
        held = (
            None if not self.model.kind else (0 if self.model.kind in (7, 8) else self.model.keys[holders[0]], self.model.kind)
        )
        assert self.cluster.reservation() == held
        assert self.cluster.generation() == self.model.generation
        status = full_status(self.cluster.read(READ_FULL_STATUS))
        assert status == {
            (port_name(host % INITIATORS), 1 + host // INITIATORS): (
                key,
                host in holders,
                self.model.kind if host in holders else 0,
            )
            for host, key in self.model.keys.items()
        }
        assert not self.cluster.internal_errors


def answer_of(reply: Reply) -> Answer:
    if reply.status == 0:
        return GOOD
    return CONFLICT if reply.status == 0x18 else code_of(reply)


def twins_of(host: int) -> tuple[int, ...]:
    """Return the hosts with the same initiator port at other target ports."""
    return tuple(other for other in range(HOSTS) if other != host and other % INITIATORS == host % INITIATORS)


def full_status(data: bytes) -> dict[tuple[str, int], tuple[int, bool, int]]:
    """Return key, holder and type of each nexus, by the name of its initiator port and its relative target port."""
    found = {}
    rest = data[8:]
    while rest:
        size = 24 + int.from_bytes(rest[20:24], "big")
        name = rest[28:size].rstrip(b"\0").decode(), int.from_bytes(rest[18:20], "big")
        assert not rest[12] & 2, "ALL_TG_PT: each descriptor is for one target port"
        found[name] = (int.from_bytes(rest[:8], "big"), bool(rest[12] & 1), rest[13])
        rest = rest[size:]
    return found


TestReservations = ReservationMachine.TestCase
TestReservations.settings = searching(60, steps=30)
