"""A pair of arrays with a witness, played with lost and late messages, cut links, crashes, losses of power and wrong clocks.

The members are the real ones; their streams are lists of numbers. After each event the model checks:

- at most one array serves;
- an array that serves has every change that hosts were told is made;
- every such change is on a member that is in sync by the witness's register, unless a loss of power took its last copy;
- a member that begins to serve alone has flushed all of them;
- the streams of members in sync do not contradict each other.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

from odx_target.replica.membership.member import Member
from odx_target.replica.membership.messages import (
    Action,
    ChangeAnswer,
    ChangeRequest,
    FlushStream,
    Keep,
    LeaseRequest,
    LifeBegan,
    MemberRecord,
    Message,
    Receiver,
    RegisterNews,
    Seed,
)
from odx_target.replica.membership.register import Change, Register
from odx_target.replica.membership.witness import Witness, WitnessRecord

NAMES = ("a", "b")
WITNESS = "witness"
TICK_S = 0.25
MAX_DRIFT = 0.1
FAULTY_S = 120.0
HEALING_S = 60.0
CALM_OUT_OF_SYNC_S = 8.0


class Violation(AssertionError):
    """The model has found a wrong state."""


@dataclass
class Connection:
    """A connection of the two streams. Bytes arrive in order until it is cut."""

    epoch: int
    is_open: bool = True
    arrives_at_s: dict[str, float] = field(default_factory=lambda: dict.fromkeys(NAMES, 0.0))


@dataclass
class Array:
    """An array: its member while it runs, its record, and its stream. `durable` is the length of the flushed part."""

    name: str
    record: MemberRecord
    drift: float
    member: Member | None = None
    stream: list[int] = field(default_factory=list)
    durable: int = 0
    connection: Connection | None = None
    peer_has: int = 0
    """Length of the peer's stream, as far as the connection has told."""
    waits_for: int | None = None
    """Length of the peer's stream that this array must reach to be proven."""
    was_alone: bool = False
    heard_at_s: float = 0.0
    sends_new: bool = False


class Model:
    """One run with a seed. `member_class` and `witness_class` may be mutants."""

    def __init__(self, seed: int, member_class: type[Member] = Member, witness_class: type[Witness] = Witness) -> None:
        self.random = Random(seed)
        self.member_class = member_class
        self.witness_class = witness_class
        self.now_s = 0.0
        self.queue: list[tuple[float, int, Callable[[], None]]] = []
        self.order = 0
        self.cut: set[frozenset[str]] = set()
        self.acknowledged: set[int] = set()
        self.changes = 0
        self.counts = dict.fromkeys(("acknowledged", "take overs", "restarts", "lost power", "hand overs", "additions"), 0)
        register = Register(1, "a", frozenset(NAMES))
        self.arrays = {
            name: Array(name, MemberRecord(0, register, witness=1), 1 + self.random.uniform(-MAX_DRIFT, MAX_DRIFT))
            for name in NAMES
        }
        self.witness_drift = 1 + self.random.uniform(-MAX_DRIFT, MAX_DRIFT)
        self.witness_record = WitnessRecord(1, register)
        self.witness: Witness | None = None
        self.is_calm = False
        self.slow = self.random.choice((0.0, 0.05, 0.3, 0.6))
        self.interval_s = self.random.choice((4.0, 10.0, 15.0))
        self.out_of_sync_after_s = self.random.choice((2.0, 8.0))
        self.crash = self.random.choice((0.0, 0.002, 0.02))
        for name in NAMES:
            self.start(name)
            member = self.arrays[name].member
            assert member is not None
            member.is_proven = True  # a new group begins with equal streams
        self.start_witness()
        for name in (*NAMES, WITNESS):
            self.tick(name)

    # --- time

    def at(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something later."""
        self.at_time(self.now_s + delay_s, action)

    def at_time(self, time_s: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        self.order += 1
        heapq.heappush(self.queue, (time_s, self.order, action))

    def clock(self, name: str) -> float:
        """The monotonic clock of an array or of the witness."""
        drift = self.witness_drift if name == WITNESS else self.arrays[name].drift
        return 1000.0 + self.now_s * drift

    def run(self, duration_s: float) -> None:
        """Play for a time. Raises Violation."""
        end_s = self.now_s + duration_s
        while self.queue and self.queue[0][0] <= end_s:
            self.now_s, _, action = heapq.heappop(self.queue)
            action()
            self.check()
        self.now_s = end_s

    def tick(self, name: str) -> None:
        """Make an array do what is due, and hosts write."""
        if name != WITNESS:
            self.work(self.arrays[name])
        self.at(TICK_S * self.random.uniform(0.5, 1.5), lambda: self.tick(name))

    # --- lives

    def start(self, name: str) -> None:
        """Start an array."""
        array = self.arrays[name]
        if array.member is not None:
            return
        array.record = replace(array.record, life=array.record.life + 1)
        array.member = self.member_class(name, other(name), array.record, self.clock(name))
        array.was_alone = not array.member.needs_peer
        array.heard_at_s = self.clock(name)

    def stop(self, name: str, *, loses_power: bool) -> None:
        """End an array."""
        array = self.arrays[name]
        if array.member is None:
            return
        self.disconnect()
        array.member = None
        self.counts["restarts"] += 1
        if loses_power:
            self.counts["lost power"] += 1
            del array.stream[array.durable :]
            register = self.register()
            kept = {change for each in register.in_sync for change in self.arrays[each].stream}
            self.acknowledged &= kept  # the last copy of the others has lost its power

    def start_witness(self, *, lost_disk: bool = False) -> None:
        """Start the witness."""
        if self.witness is not None:
            return
        if lost_disk:
            self.witness_record = WitnessRecord(self.random.getrandbits(60), None)
        self.witness = self.witness_class(NAMES, self.witness_record, self.clock(WITNESS))

    def register(self) -> Register:
        """The newest register: that of the witness, or of the members if the witness has lost its own."""
        known = [array.record.register for array in self.arrays.values()]
        if self.witness_record.register is not None:
            known.append(self.witness_record.register)
        return max(known, key=lambda each: each.epoch)

    # --- faults

    def trouble(self) -> None:
        """Do something bad, which ends by itself after a while, again and again."""
        if self.is_calm:
            return
        random = self.random
        choice, name = random.random(), random.choice(NAMES)
        pause_s = random.choice((0.2, 1.5, 6.0)) * random.random()
        if choice < 0.6:
            self.cut_links()
        elif choice < 0.85:
            self.stop(name, loses_power=random.random() < 0.5)
            self.at(pause_s, lambda: self.start(name))
        elif choice < 0.88:
            for each in NAMES:
                self.stop(each, loses_power=True)
                self.at(pause_s * random.random(), partial(self.start, each))
        elif self.witness is not None:
            self.witness, loses_disk = None, random.random() < 0.15
            self.at(pause_s, lambda: self.start_witness(lost_disk=loses_disk))
        self.at(self.interval_s * random.random(), self.trouble)

    def cut_links(self) -> None:
        """Cut some of the links until the next time, and open all others."""
        links = [frozenset(NAMES), *(frozenset((name, WITNESS)) for name in NAMES)]
        self.cut = {link for link in links if self.random.random() < 0.4}
        if frozenset(NAMES) in self.cut:
            self.disconnect()

    def heal(self) -> None:
        """Repair everything, and run until the group must be well again. Raises Violation."""
        self.is_calm = True
        self.cut.clear()
        self.start_witness()
        for name in NAMES:
            self.start(name)
        self.out_of_sync_after_s = CALM_OUT_OF_SYNC_S
        end_s = self.now_s + HEALING_S
        while not self.is_well():
            if self.now_s >= end_s:
                raise Violation(f"not well {HEALING_S:.0f} seconds after healing: {self.register()}")
            self.run(TICK_S)

    def is_well(self) -> bool:
        """True if both arrays are in sync and one of them serves."""
        members = [array.member for array in self.arrays.values() if array.member is not None]
        serves = any(member.serves(self.clock(member.name)) for member in members)
        return serves and self.register().in_sync == set(NAMES)

    # --- messages

    def deliver(self, sender: str, receiver: str, message: Message) -> None:
        """Send a message that may be lost, late, or repeated."""
        if frozenset((sender, receiver)) in self.cut or (not self.is_calm and self.random.random() < 0.1):
            return
        for _ in range(1 if self.is_calm or self.random.random() < 0.9 else 2):
            self.at(self.delay(), lambda: self.arrive(sender, receiver, message))

    def delay(self) -> float:
        """A delay, mostly short."""
        if not self.is_calm and self.random.random() < self.slow:
            return self.random.uniform(0.1, 12.0)
        return self.random.uniform(0.001, 0.05)

    def arrive(self, sender: str, receiver: str, message: Message) -> None:
        """Deliver a message that arrives."""
        if receiver == WITNESS:
            if self.witness is not None and isinstance(message, LifeBegan | LeaseRequest | ChangeRequest | Seed):
                answer = self.witness.receive(message, self.clock(WITNESS))
                self.witness_record = self.witness.record
                if answer is not None:
                    self.deliver(WITNESS, sender, answer)
            return
        array = self.arrays[receiver]
        if array.member is not None:
            before = array.record.register
            self.act(array, array.member.receive(message, self.clock(receiver)))
            if isinstance(message, ChangeAnswer) and array.record.register != before:
                self.count(array.record.register, before)

    def count(self, after: Register, before: Register) -> None:
        """Count a change of the register."""
        if after.primary != before.primary:
            self.counts["take overs" if len(after.in_sync) == 1 else "hand overs"] += 1
        elif len(after.in_sync) > len(before.in_sync):
            self.counts["additions"] += 1

    def act(self, array: Array, actions: object) -> None:
        """Do what a member asks for. The array may die in between."""
        assert isinstance(actions, list | tuple)
        for action in actions:
            if not self.is_calm and self.random.random() < self.crash:
                self.stop(array.name, loses_power=self.random.random() < 0.5)
                self.at(3 * self.random.random(), lambda: self.start(array.name))
            if array.member is None:
                return
            self.do(array, action)

    def do(self, array: Array, action: Action) -> None:
        """Do one thing that a member asks for."""
        if isinstance(action, Keep):
            former, record = array.record, action.record
            if (former.register, former.is_adding and not record.is_adding) != (record.register, False):
                self.disconnect()
            array.record = action.record
        elif isinstance(action, FlushStream):
            array.durable = len(array.stream)
        else:
            receiver = WITNESS if action.receiver is Receiver.WITNESS else other(array.name)
            self.deliver(array.name, receiver, action.message)

    # --- the work of an array

    def work(self, array: Array) -> None:
        """Do what an array has to do now."""
        member = array.member
        if member is None:
            return
        now_s = self.clock(array.name)
        self.act(array, member.on_time(now_s))
        if array.connection is None and self.random.random() < 0.5:
            self.connect()
        if array.member is None:
            return
        if member.serves(now_s):
            self.serve(array, member, now_s)
        if self.random.random() < 0.1:
            array.durable = len(array.stream)

    def serve(self, array: Array, member: Member, now_s: float) -> None:
        """Write for hosts, and change the register if that is due."""
        for _ in range(self.random.randrange(4)):
            self.changes += 1
            array.stream.append(self.changes)
        self.ship(array)
        self.acknowledge(array)
        peer_has_all = array.connection is not None and array.peer_has == len(array.stream) and array.sends_new
        if other(array.name) not in member.register.in_sync:
            if peer_has_all:
                self.act(array, member.change(Change.ADD, now_s))
        elif now_s - array.heard_at_s > self.out_of_sync_after_s:
            self.act(array, member.change(Change.DROP, now_s))
        elif peer_has_all and not self.is_calm and self.random.random() < 0.08:
            self.act(array, member.change(Change.HAND_OVER, now_s))

    def acknowledge(self, array: Array) -> None:
        """Report to hosts that their changes are made."""
        member = array.member
        if member is not None and member.acknowledges(self.clock(array.name)):
            length = min(array.peer_has, len(array.stream)) if member.needs_peer else len(array.stream)
            new = set(array.stream[:length]) - self.acknowledged
            self.counts["acknowledged"] += len(new)
            self.acknowledged |= new

    # --- streams

    def connect(self) -> None:
        """Connect the streams of both arrays, if the network does not keep them apart."""
        first, second = self.arrays.values()
        if first.member is None or second.member is None or frozenset(NAMES) in self.cut or first.connection is not None:
            return
        registers = first.record.register, second.record.register
        if registers[0].epoch != registers[1].epoch:  # rule 8
            for array in (first, second):
                self.deliver(array.name, other(array.name), RegisterNews(array.record.register))
            return
        connection = Connection(registers[0].epoch)
        for array in (first, second):
            array.connection = connection
            array.peer_has, array.waits_for, array.sends_new = 0, None, False
        for array in (first, second):
            member, length = array.member, len(array.stream)
            assert member is not None
            is_proven = member.is_proven
            self.pass_on(array, partial(self.greeted, peer_length=length, peer_is_proven=is_proven))

    def disconnect(self) -> None:
        """Cut the connection of the streams."""
        for array in self.arrays.values():
            if array.connection is not None:
                array.connection.is_open = False
                array.connection = None

    def pass_on(self, sender: Array, action: Callable[[Array], None]) -> None:
        """Make something happen at the other end of the connection, in order."""
        connection, receiver = sender.connection, self.arrays[other(sender.name)]
        if connection is None:
            return

        def arrive() -> None:
            if connection.is_open and receiver.member is not None:
                receiver.heard_at_s = self.clock(receiver.name)
                action(receiver)

        at_s = max(self.now_s + self.delay(), connection.arrives_at_s[receiver.name])
        connection.arrives_at_s[receiver.name] = at_s
        self.at_time(at_s, arrive)

    def greeted(self, array: Array, peer_length: int, peer_is_proven: bool) -> None:
        """Compare the streams of both arrays at the start of a connection."""
        member = array.member
        assert member is not None
        both = member.register.in_sync == set(NAMES)
        if not both:
            if member.is_primary and not member.record.is_adding:
                self.send_all(array)
            return
        array.peer_has = min(peer_length, len(array.stream))
        if member.is_proven and peer_is_proven and not member.is_primary and len(array.stream) > peer_length:
            raise Violation(f"{array.name} has more than a proven primary")
        if len(array.stream) >= peer_length:
            member.compared(len(array.stream), peer_length)
            if len(array.stream) > peer_length:
                self.send(array, peer_length)
        else:
            array.waits_for = peer_length
        array.sends_new = member.is_primary

    def send_all(self, array: Array) -> None:
        """Bring the whole stream to a member that is out of sync."""
        copied = list(array.stream)

        def begin(it: Array) -> None:
            assert it.member is not None
            it.member.fell_behind()
            it.stream, it.durable = copied, 0
            it.member.caught_up()
            self.reply(it)

        self.pass_on(array, begin)
        array.sends_new = True
        array.peer_has = 0

    def send(self, array: Array, start: int) -> None:
        """Send the stream from a position on."""
        part = list(array.stream[start:])
        if part:
            self.pass_on(array, lambda it: self.received(it, start, part))

    def ship(self, array: Array) -> None:
        """Send what the peer does not have yet. Sending again what is under way is harmless."""
        if array.connection is not None and array.sends_new:
            self.send(array, array.peer_has)

    def received(self, array: Array, start: int, part: list[int]) -> None:
        """Append a part of the stream."""
        member = array.member
        assert member is not None
        if start > len(array.stream) or not member.takes_changes:
            return
        known = array.stream[start : start + len(part)]
        if known != part[: len(known)]:
            raise Violation(f"the streams contradict each other at {start}: {known} and {part}")
        array.stream += part[len(known) :]
        if array.waits_for is not None and len(array.stream) >= array.waits_for:
            member.compared(len(array.stream), array.waits_for)
            array.waits_for = None
        self.reply(array)

    def reply(self, array: Array) -> None:
        """Acknowledge the stream."""
        length = len(array.stream)
        self.pass_on(array, lambda it: self.replied(it, length))

    def replied(self, array: Array, length: int) -> None:
        """Take an acknowledgement."""
        array.peer_has = max(array.peer_has, min(length, len(array.stream)))
        self.acknowledge(array)

    # --- checks

    def check(self) -> None:
        """Check the state after an event. Raises Violation."""
        serving = [
            array for array in self.arrays.values() if array.member is not None and array.member.serves(self.clock(array.name))
        ]
        if len(serving) > 1:
            raise Violation("both arrays serve")
        for array in self.arrays.values():
            alone = array in serving and array.member is not None and not array.member.needs_peer
            if alone and not array.was_alone and not self.acknowledged <= set(array.stream[: array.durable]):
                raise Violation(f"{array.name} serves alone without having flushed everything")
            array.was_alone = alone
            if array in serving and not self.acknowledged <= set(array.stream):
                raise Violation(f"{array.name} serves without {len(self.acknowledged - set(array.stream))} changes")
        members = self.register().in_sync
        if not any(self.acknowledged <= set(self.arrays[name].stream) for name in members):
            kept = {change for name in members for change in self.arrays[name].stream}
            if not self.acknowledged <= kept:
                raise Violation("an acknowledged change is lost")


def other(name: str) -> str:
    """Return the name of the other array."""
    return NAMES[1 - NAMES.index(name)]


def play(seed: int, member_class: type[Member] = Member, witness_class: type[Witness] = Witness) -> Model:
    """Play a seed with faults, and then without. Raises Violation."""
    model = Model(seed, member_class, witness_class)
    model.at(5 * model.random.random(), model.trouble)
    model.run(FAULTY_S)
    model.heal()
    return model
