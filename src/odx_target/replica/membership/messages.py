"""The messages of members and the witness of a group, and the actions that a member asks of its caller."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeAlias

from odx_target.replica.membership.register import Change, Register


@dataclass(frozen=True, slots=True)
class LifeBegan:
    """To the witness: a member has started. The answer is `RegisterIs`. Requests of earlier lives are then void.

    A life is a number that each start of a member raises durably.
    """

    member: str
    life: int


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """From the primary: may it serve? `sent_at_s` is a time of its own clock, which the answer returns."""

    member: str
    life: int
    epoch: int
    sent_at_s: float


@dataclass(frozen=True, slots=True)
class LeaseGranted:
    """The primary may serve for `LEASE_S` after it sent the request."""

    life: int
    sent_at_s: float


@dataclass(frozen=True, slots=True)
class LeaseReleased:
    """From a primary that hands over: it will not use a lease that it requested at `sent_at_s` or before."""

    member: str
    life: int
    sent_at_s: float


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """To the witness: replace the register with epoch `register.epoch - 1`. A member numbers the requests of one life."""

    member: str
    life: int
    number: int
    change: Change
    register: Register


@dataclass(frozen=True, slots=True)
class ChangeAnswer:
    """From the witness: whether it has made a change, and its present register."""

    witness: int
    life: int
    number: int
    is_done: bool
    register: Register


@dataclass(frozen=True, slots=True)
class RegisterNews:
    """From the peer: the newest register that it knows."""

    register: Register


@dataclass(frozen=True, slots=True)
class RegisterIs:
    """From the witness: its register. The witness knows the life of the member to which it answers."""

    witness: int
    life: int
    register: Register


@dataclass(frozen=True, slots=True)
class RegisterUnknown:
    """From the witness: it has lost its register. `life` is that of the member to which it answers.

    `witness` is the random number of its new record. Members then ignore what the lost record has answered.
    """

    witness: int
    life: int


@dataclass(frozen=True, slots=True)
class Seed:
    """To the witness with the new record `witness`: the newest register that a member knows."""

    member: str
    life: int
    witness: int
    register: Register


Message: TypeAlias = (
    LifeBegan
    | LeaseRequest
    | LeaseGranted
    | LeaseReleased
    | ChangeRequest
    | ChangeAnswer
    | RegisterNews
    | RegisterIs
    | RegisterUnknown
    | Seed
)


class Receiver(Enum):
    """To whom a member sends a message."""

    PEER = auto()
    WITNESS = auto()


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message. It may be lost, delayed, repeated, and overtaken by others."""

    receiver: Receiver
    message: Message


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """The state that a member keeps durably.

    `witness` is the number of the record of the witness. `lost_witnesses` are the numbers of the records that the witness has
    lost. `is_adding` is True from before the member requests `Change.ADD` until it knows the outcome.
    """

    life: int
    register: Register
    witness: int
    lost_witnesses: frozenset[int] = frozenset()
    is_adding: bool = False


@dataclass(frozen=True, slots=True)
class Keep:
    """Make a record durable before any later action."""

    record: MemberRecord


@dataclass(frozen=True, slots=True)
class FlushStream:
    """Make all received changes of the group durable before any later action."""


Action: TypeAlias = Send | Keep | FlushStream
