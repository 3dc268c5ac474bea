"""Imports as records of the pool, so that they continue after a restart of the array."""

import json
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import Any

PREFIX = "import/"
"""Beginning of the keys under which the pool remembers imports. The identity of the imported volume follows."""


class Phase(Enum):
    """The phases of an import. From FINISHING on, the old array is not needed."""

    COPYING = "copying"
    FINISHING = "finishing"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """An import. `volume` and `base` are identities of volumes in hexadecimal.

    `url` names the source without its secrets. The secrets are empty if there are none, and from FINISHING on.
    """

    volume: str
    base: str
    url: str
    initiator_name: str
    block_bytes: int
    capacity_blocks: int
    identity: str
    phase: Phase
    rate: int
    verify: bool
    started: float
    finished: float | None = None
    user: str | None = None
    secret: str | None = field(default=None, repr=False)
    target_user: str | None = None
    target_secret: str | None = field(default=None, repr=False)

    @property
    def key(self) -> str:
        return f"{PREFIX}{self.volume}"

    def without_secrets(self) -> "ImportRecord":
        return replace(self, user=None, secret=None, target_user=None, target_secret=None)


class InvalidRecord(Exception):
    """The record of an import cannot be read."""


def encode(record: ImportRecord) -> bytes:
    return json.dumps({**asdict(record), "phase": record.phase.value}).encode()


def decode(value: bytes) -> ImportRecord:
    """Decode a record. Raises InvalidRecord."""
    try:
        found: dict[str, Any] = json.loads(value)
        record = ImportRecord(**{**found, "phase": Phase(found["phase"])})
        numbers = record.block_bytes, record.capacity_blocks, record.rate
        bytes.fromhex(record.volume + record.base)
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRecord("the record of an import cannot be read") from error
    if not all(type(number) is int and number > 0 for number in numbers):
        raise InvalidRecord("the record of an import has a wrong number")
    return record
