"""The record of the commands and PDUs that a check has sent, for the report of a failure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_RECORDED_BYTES = 1024
"""Maximum number of bytes that are recorded of each data buffer. This is enough for a parameter list with a token and its
ranges.
"""
MAX_EXCHANGES = 64
"""Maximum number of exchanges that are kept for a check. The last exchanges show the failure."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command and its answer, or one PDU. `parts` maps the name of each part, such as "CDB", to its bytes."""

    title: str
    parts: Mapping[str, bytes]

    def lines(self) -> list[str]:
        """Return the exchange as lines of text, with 32 bytes in each line."""
        found = [self.title]
        for name, data in self.parts.items():
            rows = [data[start : start + 32].hex(" ") for start in range(0, len(data), 32)]
            found += [f"  {name if number == 0 else '':9} {row}" for number, row in enumerate(rows)]
        return found


@dataclass(slots=True)
class Records:
    """The exchanges of one check, oldest first."""

    exchanges: list[Exchange] = field(default_factory=list)

    def add(self, title: str, **parts: bytes) -> None:
        """Add an exchange. Parts without bytes are left out."""
        kept = {name.replace("_", "-"): bytes(data[:MAX_RECORDED_BYTES]) for name, data in parts.items() if len(data)}
        self.exchanges.append(Exchange(title, kept))
        del self.exchanges[:-MAX_EXCHANGES]
