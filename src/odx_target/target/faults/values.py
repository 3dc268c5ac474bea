"""The values of the words of rules: functions that check and convert a text, a number or a flag. All raise ConfigError."""

import errno
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple, TypeVar

from odx_target.iscsi.pdu.opcodes import LoginStatus, Opcode
from odx_target.scsi.command_table import CommandCode
from odx_target.scsi.reply import Status
from odx_target.scsi.sense import Condition, SenseKey, sense_words
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_portal
from odx_target.target.faults import names
from odx_target.target.faults.names import nearest, plain

MAX_NUMBER = 1 << 64
"""Numbers in rules are smaller. The largest fields, such as an LBA, have 64 bits."""
MAX_DURATION_S = 86400.0
"""Maximum of a time in a rule. A longer pause is a `hold`, which ends when a tester ends it."""
MAX_COPIES = 1 << 20
"""Maximum of a count, so that a mistyped number cannot fill the memory."""
MAX_TEXT_CHARACTERS = 1 << 20
"""Maximum length of a data segment that a rule makes. The lengths that initiators handle badly are far below it."""

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "": 1.0}
_SEGMENT_CALLS = ("read", "write", "flush", "create")
_STORE_ERRORS = ("pool-full", "pool-busy", "out-of-resources", "damaged-block", "unreadable", "unwritable", "refused")

Choice = TypeVar("Choice", bound=StrEnum)
Named = TypeVar("Named")


class Part(NamedTuple):
    """A part of an amount: a number of units, or a share of it."""

    units: int | None
    share: float = 0.0

    def of(self, amount: int) -> int:
        """Return this part of an amount, at most the whole."""
        return min(amount, int(amount * self.share) if self.units is None else self.units)


def text(value: object) -> str:
    r"""Return the bytes that a text describes, as characters from 0 to 255: `\0`, `\n`, `\xNN` and `{TEXT*COUNT}`."""
    found = _string(value)
    found = re.sub(r"\\(0|n|r|t|\\|x[0-9A-Fa-f]{2})", _escape, found)
    size = sum(len(match[1]) * int(match[2]) for match in re.finditer(r"\{(.*?)\*([0-9]{1,7})\}", found, re.DOTALL))
    if size > MAX_TEXT_CHARACTERS:
        raise ConfigError(f"a text has at most {MAX_TEXT_CHARACTERS} characters")
    return re.sub(r"\{(.*?)\*([0-9]{1,7})\}", lambda match: match[1] * int(match[2]), found, flags=re.DOTALL)


def _escape(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if code[0] == "x" else {"0": "\0", "n": "\n", "r": "\r", "t": "\t", "\\": "\\"}[code]


def flag(value: object) -> bool:
    """Check that a value is true. A rule leaves out the words that it does not need."""
    if value is True or value in ("", "true", "yes", "on"):
        return True
    raise ConfigError(f"want no value or true, not {value!r}")


def number(value: object) -> int:
    """Convert a decimal number, or a hexadecimal number with 0x or h."""
    if type(value) is int and 0 <= value < MAX_NUMBER:
        return value
    if isinstance(value, str) and re.fullmatch(r"0[xX][0-9A-Fa-f]{1,16}|[0-9]{1,19}", value):
        return int(value, 0 if value[:2].lower() == "0x" else 10)
    raise ConfigError(f"want a number such as 17 or 0x11, not {value!r}")


def count(value: object) -> int:
    """Convert a number from 1 to MAX_COPIES."""
    found = number(value)
    if not 1 <= found <= MAX_COPIES:
        raise ConfigError(f"want a number from 1 to {MAX_COPIES}, not {found}")
    return found


def numbers(value: object) -> frozenset[int]:
    """Convert one number or several numbers from 1 to MAX_COPIES."""
    return frozenset(count(each) for each in _list(value))


def name(value: object) -> str:
    """Check the name of a rule, a scenario or a state: up to 64 letters, digits, points, hyphens and underscores."""
    found = _string(value)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", found):
        raise ConfigError(f"want up to 64 letters, digits, '.', '-' and '_', not {found[:80]!r}")
    return found


def duration(value: object) -> float:
    """Convert a time such as 2, "2s", "200ms" or "5m" to seconds."""
    found = float(value) if type(value) in (int, float) else -1.0  # type: ignore[arg-type]
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|s|min|m|h|)", value)):
        found = float(match[1]) * _UNITS_S[match[2]]
    if not 0 <= found <= MAX_DURATION_S:
        raise ConfigError(f"want a time such as 200ms, 5s or 2m, at most 24h, not {value!r}")
    return found


def percentage(value: object) -> float:
    """Convert a percentage such as 50, "50%" or "12.5%"."""
    found = float(value) if type(value) in (int, float) else -1.0  # type: ignore[arg-type]
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?%?", value):
        found = float(value.rstrip("%"))
    if not 0 <= found <= 100:
        raise ConfigError(f"want a percentage from 0% to 100%, not {value!r}")
    return found


def probability(value: object) -> float:
    """Convert a percentage to a probability from 0 to 1."""
    return percentage(value) / 100


def part(value: object) -> Part:
    """Convert a number of bytes, or a percentage."""
    if isinstance(value, str) and value.endswith("%"):
        return Part(None, probability(value))
    return Part(number(value))


def commands(value: object) -> frozenset[CommandCode]:
    """Convert names of commands, or operation codes such as 83h/11h, to their codes."""
    found: set[CommandCode] = set()
    for each in _list(value):
        if match := re.fullmatch(r"(?:0x)?([0-9A-Fa-f]{2})h?(?:/(?:0x)?([0-9A-Fa-f]{1,2})h?)?", str(each)):
            operation_code = int(match[1], 16)
            if match[2] is None:
                found |= {code for codes in names.COMMANDS.values() for code in codes if code[0] == operation_code}
            found.add((operation_code, None if match[2] is None else int(match[2], 16)))
        else:
            found |= _named(each, names.COMMANDS, "command")
    return frozenset(found)


def lun(value: object) -> str:
    """Convert the number or the name of a LUN to a text."""
    if type(value) is int and value >= 0:
        return str(value)
    return name(value)


def lba_range(value: object) -> tuple[int, int]:
    """Convert a block or a range of blocks such as 100-199 to its first and last LBA."""
    if isinstance(value, str) and "-" in value:
        first, last = (number(each) for each in value.split("-", 1))
        if last < first:
            raise ConfigError(f"the range {value} ends before it begins")
        return first, last
    return number(value), number(value)


def glob(value: object) -> str:
    """Convert a name with the wildcards * and ?."""
    return _string(value).lower()


def matches_glob(pattern: str, found: str) -> bool:
    """True if a name matches a pattern. Names of iSCSI do not distinguish capital letters (RFC 7143 4.2.7.1)."""
    return fnmatchcase(found.lower(), pattern.replace("[", "[[]"))


def isid(value: object) -> str:
    """Check an ISID: 12 hexadecimal digits."""
    found = _string(value).lower().removeprefix("0x")
    if not re.fullmatch("[0-9a-f]{12}", found):
        raise ConfigError(f"want an ISID of 12 hexadecimal digits, not {value!r}")
    return found


def list_identifier(value: object) -> int:
    """Convert a list identifier of 32 bits."""
    found = number(value)
    if found >= 1 << 32:
        raise ConfigError(f"a list identifier has 32 bits, not {value!r}")
    return found


def pdus(value: object) -> frozenset[Opcode] | None:
    """Convert names of PDUs to operation codes. None is any PDU."""
    each = _list(value)
    return None if each == ["any"] else frozenset(_named(one, names.PDUS, "PDU") for one in each)


def direction(value: object) -> bool | None:
    """Convert a direction: True for PDUs of the initiator, False for those of the target, None for both."""
    return _named(value, {"in": True, "out": False, "both": None}, "direction")


def login_kind(value: object) -> bool | None:
    """Convert a kind of login: True for discovery, False for normal sessions, None for both."""
    return _named(value, {"normal": False, "discovery": True, "any": None}, "kind of login")


def segment_calls(value: object) -> frozenset[str] | None:
    """Convert names of calls of segments. None is any call."""
    each = _list(value)
    known = {call: call for call in _SEGMENT_CALLS}
    return None if each == ["any"] else frozenset(_named(one, known, "call") for one in each)


def sense(value: object) -> Condition:
    """Convert the name of sense data, with or without another sense key before it, or KEY/ASC/ASCQ as hexadecimal numbers."""
    found = _string(value)
    if match := re.fullmatch(r"([0-9A-Fa-f])h?/([0-9A-Fa-f]{2})h?/([0-9A-Fa-f]{2})h?", found):
        key, asc, ascq = (int(each, 16) for each in match.groups())
        if key not in set(SenseKey):
            raise ConfigError(f"there is no sense key {key:X}h")
        return Condition(SenseKey(key), asc, ascq, sense_words(asc, ascq))
    first, _, rest = found.partition("/")
    if (sense_key := names.SENSE_KEYS.get(plain(first))) is not None:
        asc, ascq = _sense_code(rest)
        return Condition(sense_key, asc, ascq, sense_words(asc, ascq))
    if (own := names.SENSE.get(plain(found))) is not None:
        return own
    code = _sense_code(found)
    same = [each for each in names.SENSE.values() if (each.asc, each.ascq) == code]
    if not same:
        raise ConfigError(f"{plain(found)} needs a sense key before it, such as medium-error/{plain(found)}")
    return same[0]


def _sense_code(value: str) -> tuple[int, int]:
    """Convert the name of sense data to its additional sense code and qualifier."""
    own = {name: (each.asc, each.ascq) for name, each in names.SENSE.items()}
    return _named(value, {**names.sense_codes(), **own}, "sense data")


def status(value: object) -> Status:
    """Convert the name of a status. CHECK CONDITION is not among them, because it needs sense data."""
    return _named(value, names.STATUSES, "status")


def login_status(value: object) -> LoginStatus:
    """Convert the name of a login status (RFC 7143 11.13.5), except success."""
    return _named(value, names.LOGIN_STATUSES, "login status")


def store_error(value: object) -> str:
    """Check the name of an error of the pool."""
    return _named(value, {each: each for each in _STORE_ERRORS}, "error")


def error_number(value: object) -> int:
    """Convert the name of an errno, such as EIO."""
    known = {name: code for code, name in errno.errorcode.items()}
    found = _string(value).upper()
    if found not in known:
        raise ConfigError(f"there is no errno {found[:40]!r}; {nearest(found, known)}")
    return known[found]


def address(value: object) -> str:
    """Check an address of the form HOST:PORT."""
    return str(parse_portal(_string(value)))


def fields(value: object) -> dict[str, int]:
    """Convert assignments to fields of a header, such as {"data_segment_length": 4} or "data_segment_length:4,lun:0"."""
    if isinstance(value, dict):
        return {_field(each): number(content) for each, content in value.items()}
    pairs = [str(each).partition(":") for each in _list(value)]
    return {_field(key): number(content) for key, _, content in pairs}


def _field(value: str) -> str:
    return plain(value).replace("-", "_")


def choice(kind: type[Choice]) -> Callable[[object], Choice]:
    """Return a function that converts a name to a member of an enumeration."""
    return lambda value: _named(value, {str(each): each for each in kind}, kind.__name__)


def _string(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError(f"want a text, not {value!r}")
    return value


def _list(value: object) -> list[object]:
    """Return the items of a list or of a text with commas. Names of some commands have a comma followed by a space."""
    items: list[object] = list(value) if isinstance(value, list | tuple) else [value]
    if isinstance(value, str):
        items = list(re.split(r",(?! )", value))
    if not items or "" in items:
        raise ConfigError(f"want one or more values, not {value!r}")
    return items


def _named(value: object, known: Mapping[str, Named], kind: str) -> Named:
    found = plain(str(value))
    if found not in known:
        raise ConfigError(f"there is no {kind} {str(value)[:60]!r}; {nearest(found, known)}")
    return known[found]
