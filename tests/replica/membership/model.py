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
from dataclasses import replace
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
    Seed,
)
from odx_target.replica.membership.register import Change, Register
from odx_target.replica.membership.witness import Witness, WitnessRecord
from tests.replica.membership.streams import NAMES, Array, Streams, Violation, other

WITNESS = "witness"
TICK_S = 0.25
MAX_DRIFT = 0.1
FAULTY_S = 120.0
HEALING_S = 60.0
CALM_OUT_OF_SYNC_S = 8.0


class Model(Streams):
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


def play(seed: int, member_class: type[Member] = Member, witness_class: type[Witness] = Witness) -> Model:
    """Play a seed with faults, and then without. Raises Violation."""
    model = Model(seed, member_class, witness_class)
    model.at(5 * model.random.random(), model.trouble)
    model.run(FAULTY_S)
    model.heal()
    return model
