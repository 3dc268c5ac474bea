"""Conversion of the configuration of tgt, usually /etc/tgt/targets.conf."""

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from odx_target.cli.configuration.importing.imported import Imported, closed, merged
from odx_target.target.config.access_settings import AccessRule, MappedLun, initiator_of
from odx_target.target.config.chap import ChapUser, TargetChap
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_iqn
from odx_target.target.config.settings import TargetConfig

FIRST_LUN = 1
"""The first number that tgt gives to a backing store. LUN 0 is a controller of tgt."""
STORES = ("backing-store", "direct-store")
WORDS_OF_A_USER = 2
MAX_DIGITS = 18
"""Maximum length of a number. No LUN and no block length is longer."""

_BEGIN = re.compile(r"<\s*([\w-]+)\s+(.+?)\s*>")
_END = re.compile(r"</\s*([\w-]+)\s*>")


@dataclass(slots=True)
class Block:
    """A block of the file, such as a target or a backing store. `options` are its lines, as key and value."""

    kind: str
    value: str
    options: list[tuple[str, str]] = field(default_factory=list)
    blocks: list["Block"] = field(default_factory=list)

    def values(self, key: str) -> list[str]:
        """Return the values of all lines with this key, in their order."""
        return [value for name, value in self.options if name == key]


SizeOf = Callable[[str], int | None]


def import_tgt(text: str, size_of: SizeOf) -> Imported:
    """Return the settings in the text of a file. `size_of` returns the size of a backing store, or None if it is not known.

    Raises ConfigError if the text is not such a file.
    """
    imported = Imported()
    whole = _parsed(text)
    for key, value in whole.options:
        imported.notes.append(f"left out: {key} {value}")
    for block in whole.blocks:
        if block.kind == "target":
            imported.targets.append(_target(imported, block, size_of))
        else:
            imported.notes.append(f"left out: <{block.kind} {block.value}>")
    return imported


def _parsed(text: str) -> Block:
    whole = Block("", "")
    open_blocks = [whole]
    for number, line in _lines(text):
        begin, end = _BEGIN.fullmatch(line), _END.fullmatch(line)
        if begin:
            block = Block(begin[1].lower(), begin[2].strip('"'))
            open_blocks[-1].blocks.append(block)
            open_blocks[-1].options.append((f"<{block.kind}>", str(len(open_blocks[-1].blocks) - 1)))
            open_blocks.append(block)
        elif end:
            if len(open_blocks) == 1 or open_blocks.pop().kind != end[1].lower():
                raise ConfigError(f"line {number}: {line[:80]!r} ends no block")
        elif "<" in line or ">" in line:
            raise ConfigError(f"line {number}: {line[:80]!r} is not a line of a configuration of tgt")
        else:
            key, _, value = line.partition(" ")
            open_blocks[-1].options.append((key.lower(), value.strip()))
    if len(open_blocks) > 1:
        raise ConfigError(f"<{open_blocks[-1].kind} {open_blocks[-1].value[:80]}> has no end")
    whole.options = [(key, value) for key, value in whole.options if not key.startswith("<")]
    return whole


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the numbers and the content of the lines without comments and empty lines."""
    for number, line in enumerate(text.splitlines(), 1):
        content = " ".join(re.sub(r"(^|\s)#.*", "", line).split())
        if content:
            yield number, content


def _target(imported: Imported, block: Block, size_of: SizeOf) -> TargetConfig:
    name = parse_iqn(block.value)
    luns = _luns(imported, block, size_of)
    users = merged(ChapUser(user, secret.encode()) for user, secret in _users(block, "incominguser"))
    own = [TargetChap(user, secret.encode()) for user, secret in _users(block, "outgoinguser")]
    known = {"incominguser", "outgoinguser", "initiator-name", "initiator-address", *STORES}
    for key, value in block.options:
        if key not in known and not key.startswith("<"):
            imported.notes.append(f"target {name}: left out: {key} {value}")
    target = TargetConfig(name, chap_users=users, target_chap=own[0] if own and users else None)
    return closed(target, _rules(imported, block, name, luns))


def _rules(imported: Imported, block: Block, name: str, luns: Sequence[MappedLun]) -> list[AccessRule]:
    """Return the rules of a target. Without restrictions, tgt admits every initiator."""
    addresses = [address for address in block.values("initiator-address") if address.upper() != "ALL"]
    initiators = tuple(dict.fromkeys(initiator_of(value) for value in block.values("initiator-name")))
    if addresses:
        imported.notes.append(f"target {name}: addresses of initiators cannot restrict access: {', '.join(addresses)}")
    if initiators:
        return [AccessRule(initiators, tuple(luns))]
    return [] if addresses else [AccessRule(("*",), tuple(luns))]


def _luns(imported: Imported, block: Block, size_of: SizeOf) -> list[MappedLun]:
    """Return the LUNs of a target. Backing stores without a number get the next number that is free."""
    stores = [
        block.blocks[int(value)] if key.startswith("<") else Block(key, value.strip('"'))
        for key, value in block.options
        if key.strip("<>") in STORES
    ]
    taken = {_number("lun", number) for store in stores for number in store.values("lun")}
    numbers = (number for number in range(FIRST_LUN, len(stores) + len(taken) + FIRST_LUN + 1) if number not in taken)
    luns = []
    for store in stores:
        block_bytes = _number("block-size", (store.values("block-size") or ["512"])[0])
        volume = imported.add_volume(store.value, size_of(store.value), block_bytes)
        number = _number("lun", store.values("lun")[0]) if store.values("lun") else next(numbers)
        luns.append(MappedLun(number, volume, (store.values("readonly") or ["0"])[0] in ("1", "on", "yes", "true")))
    return luns


def _number(key: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
        raise ConfigError(f"{key}: want a number, not {text[:80]!r}")
    return int(text)


def _users(block: Block, key: str) -> list[tuple[str, str]]:
    try:
        pairs = [shlex.split(value) for value in block.values(key)]
    except ValueError as error:  # such as a missing quotation mark
        raise ConfigError(f"target {block.value[:80]}: {key}: {error}") from None
    if any(len(words) != WORDS_OF_A_USER for words in pairs):
        raise ConfigError(f"target {block.value[:80]}: {key}: want a user and a secret")
    return [(user, secret) for user, secret in pairs]
