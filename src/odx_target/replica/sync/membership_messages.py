"""The messages of the membership as JSON objects, in the frames MEMBERSHIP. A table has the fields of each message.

The names of members are the identities of their pools in hexadecimal. Times of the sender's clock are sent in microseconds,
rounded down: the receiver only sends them back, and a lease must not become longer.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from odx_target.environment import Buffer
from odx_target.replica.link.bounded_json import MAX_NUMBER, Json, decode_object, encode_object
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.messages import Field, Type, read_message
from odx_target.replica.link.messages import Message as Fields
from odx_target.replica.membership.messages import (
    ChangeAnswer,
    ChangeRequest,
    LeaseGranted,
    LeaseReleased,
    LeaseRequest,
    LifeBegan,
    Message,
    RegisterIs,
    RegisterNews,
    RegisterUnknown,
    Seed,
)
from odx_target.replica.membership.register import Change, Register

MAX_NAME_CHARACTERS = 32
MICROSECONDS = 1_000_000

REGISTER_FIELDS = (
    Field("register_epoch", Type.NUMBER, 1, MAX_NUMBER, "epoch of the register"),
    Field("primary", Type.TEXT, 1, MAX_NAME_CHARACTERS, "name of the primary"),
    Field("in_sync", Type.TEXTS, 1, 2, "names of the members in sync"),
)
_FIELDS = {
    "member": Field("member", Type.TEXT, 1, MAX_NAME_CHARACTERS, "name of the sender"),
    "life": Field("life", Type.NUMBER, 0, MAX_NUMBER, "life of the member that sends or gets the message"),
    "epoch": Field("epoch", Type.NUMBER, 1, MAX_NUMBER, "epoch of the register of the sender"),
    "sent_at_s": Field("sent_at_us", Type.NUMBER, 0, MAX_NUMBER, "time of the primary's clock"),
    "number": Field("number", Type.NUMBER, 0, MAX_NUMBER, "number of the request for a change"),
    "change": Field("change", Type.TEXT, 1, MAX_NAME_CHARACTERS, "the change"),
    "is_done": Field("is_done", Type.NUMBER, 0, 1, "1 if the witness has made the change"),
    "witness": Field("witness", Type.NUMBER, 0, MAX_NUMBER, "number of the record of the witness"),
}


class Row(NamedTuple):
    """A message: its class, and its word in the field `kind`."""

    message: type
    word: str

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the JSON object."""
        names = [field.name for field in fields(self.message)]
        found = tuple(_FIELDS[name] for name in names if name != "register")
        return (*found, *REGISTER_FIELDS) if "register" in names else found


ROWS: tuple[Row, ...] = (
    Row(LifeBegan, "life began"),
    Row(LeaseRequest, "lease request"),
    Row(LeaseGranted, "lease granted"),
    Row(LeaseReleased, "lease released"),
    Row(ChangeRequest, "change request"),
    Row(ChangeAnswer, "change answer"),
    Row(RegisterNews, "register news"),
    Row(RegisterIs, "register is"),
    Row(RegisterUnknown, "register unknown"),
    Row(Seed, "seed"),
)
_BY_CLASS = {row.message: row for row in ROWS}
_BY_WORD = {row.word: row for row in ROWS}

_TO_JSON: dict[str, Callable[[Any], Json]] = {
    "sent_at_s": lambda value: int(value * MICROSECONDS),
    "change": lambda value: value.name,
    "is_done": int,
}


def encode_message(message: Message) -> bytes:
    """Encode a message."""
    row = _BY_CLASS[type(message)]
    document: dict[str, Json] = {"kind": row.word}
    for field in fields(message):
        value = getattr(message, field.name)
        if isinstance(value, Register):
            document.update(register_document(value))
        else:
            document[_FIELDS[field.name].name] = _TO_JSON.get(field.name, _unchanged)(value)
    return encode_object(document)


def decode_message(body: Buffer) -> Message:
    """Decode a message. Raises PeerFault."""
    document = decode_object(body)
    row = _BY_WORD.get(str(document.get("kind")))
    if row is None:
        raise PeerFault("a message of the membership has an unknown kind")
    found = read_message(row.fields, document)
    values = {field.name: _value(found, field.name) for field in fields(row.message)}
    return row.message(**values)  # type: ignore[no-any-return]


def register_document(register: Register) -> Mapping[str, Json]:
    """Return a register as members of a JSON object."""
    in_sync = sorted(register.in_sync)
    return {"register_epoch": register.epoch, "primary": register.primary, "in_sync": in_sync}


def read_register(found: Fields) -> Register:
    """Return the register in a message that has `REGISTER_FIELDS`. Raises PeerFault."""
    register = Register(found.number("register_epoch"), found.text("primary"), frozenset(found.texts("in_sync")))
    if register.primary not in register.in_sync:
        raise PeerFault("a register has a primary that is not in sync")
    return register


def _value(found: Fields, name: str) -> object:
    if name == "register":
        return read_register(found)
    if name == "sent_at_s":
        return found.number("sent_at_us") / MICROSECONDS
    if name == "change":
        return _change(found.text("change"))
    if name == "is_done":
        return found.number("is_done") == 1
    return found.text(name) if name == "member" else found.number(name)


def _change(name: str) -> Change:
    try:
        return Change[name]
    except KeyError:
        raise PeerFault("a message requests an unknown change of the register") from None


def _unchanged(value: Any) -> Json:
    return value  # type: ignore[no-any-return]
