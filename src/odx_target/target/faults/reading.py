"""The reading of a rule from its words: a text, or a table of TOML, JSON or Python."""

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from odx_target.target.config.error import ConfigError
from odx_target.target.faults import values
from odx_target.target.faults.names import nearest
from odx_target.target.faults.occurrence import Point
from odx_target.target.faults.wire_pdu import fitting_fault, header_fields
from odx_target.target.faults.words.table import WORDS
from odx_target.target.faults.words.word import Kind, Word

PREFERRED = (Point.COMMAND, Point.PDU, Point.LOGIN, Point.STORE, Point.COPY)
"""The points in the order in which a rule chooses one, if its words have a meaning at several points."""

NAMES_A_POINT = {"pdu": Point.PDU, "direction": Point.PDU, "login": Point.LOGIN, "store": Point.STORE, "copy": Point.COPY}
"""Words that decide the point of a rule."""

FIRST_RECEIVED_ONLY = 0x20
"""PDUs with lower operation codes come from initiators (RFC 7143 11.2.1.2)."""


def words_of(text: str | Iterable[str]) -> dict[str, object]:
    """Return the words in a text such as "command=write-using-token first=2 sense=token-expired", or in a list of such words.

    A word without a value is a flag. Raises ConfigError.
    """
    try:
        parts = shlex.split(text) if isinstance(text, str) else list(text)
    except ValueError as error:
        raise ConfigError(f"fault: {error}") from error
    found: dict[str, object] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if key in found:
            raise ConfigError(f"fault: {key} is given twice")
        if equals and not value:
            raise ConfigError(f"fault: {key} has no value")
        found[key] = value if equals else True
    return found


def with_one_spelling(given: Mapping[str, object]) -> dict[str, object]:
    """Return the words of a rule with their keys spelled as in the table. Raises ConfigError if a word is given twice.

    Capital letters, spaces and underscores make no difference, so `next_state` and `NEXT-STATE` are the same word.
    """
    spellings: dict[str, str] = {}
    for key in given:
        plain_key = re.sub("[ _]", "-", key.lower())
        first = spellings.setdefault(plain_key, key)
        if first != key:
            raise ConfigError(f"fault: {plain_key[:40]} is given twice, as {first[:40]!r} and {key[:40]!r}")
    return {plain_key: given[key] for plain_key, key in spellings.items()}


def check_numbers(given: Mapping[str, object]) -> None:
    """Check that a rule has no larger numbers than any word can have: Python can neither convert nor print some of them.

    Raises ConfigError.
    """
    for key, value in given.items():
        items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else (value,)
        for item in items:
            if isinstance(item, int) and abs(item) >= values.MAX_NUMBER:
                raise ConfigError(f"fault: {key[:40]}: numbers are smaller than 2^64")
            if isinstance(item, dict | list | tuple):
                raise ConfigError(f"fault: {key[:40]}: want a text or a number, not a {type(item).__name__} in another value")


def read_rule(given: Mapping[str, object]) -> tuple[Point, dict[str, object], dict[str, Any]]:
    """Check the words of a rule, whose keys are spelled as in the table.

    Returns its point, the words as given, and their converted values. Raises ConfigError.
    """
    words = [_word(key) for key in given]
    point = _point_of(words)
    converted: dict[str, Any] = {word.key: _value(word, given[key]) for word, key in zip(words, given, strict=True)}
    if not any(word.kind is Kind.FAULT for word in words):
        raise ConfigError("fault: say what fails: one of " + ", ".join(_faults_at(point)))
    if "jitter" in converted and "delay" not in converted:
        converted["delay"] = 0.0
    if "delay" in converted and converted.get("store") == {"write"}:
        raise ConfigError("fault: writes of segments cannot be delayed: delay flushes, which wait for the disk")
    if point is Point.PDU:
        _check_fields(converted)
    if point is Point.PDU and "direction" not in converted:
        types = converted.get("pdu")
        is_received = bool(isinstance(types, frozenset) and types and all(each < FIRST_RECEIVED_ONLY for each in types))
        converted["direction"] = is_received
    return point, {word.key: given[key] for word, key in zip(words, given, strict=True)}, converted


def _check_fields(converted: Mapping[str, Any]) -> None:
    """Check that the PDUs of a rule have the fields that it sets. Raises ConfigError."""
    for name, value in converted.get("set", {}).items():
        if name not in header_fields():
            raise ConfigError(f"fault: set: there is no field {name[:40]!r}; {nearest(name, header_fields())}")
        reason = fitting_fault(name, value, converted.get("pdu"))
        if reason is not None:
            raise ConfigError(f"fault: set: {reason}")


def _word(key: str) -> Word:
    word = WORDS.get(key)
    if word is None:
        raise ConfigError(f"fault: there is no word {key[:40]!r}; {nearest(key, WORDS)}")
    return word


def _value(word: Word, value: object) -> object:
    if value is True and word.parse is not values.flag:
        raise ConfigError(f"fault: {word.key} needs a value: {word.key}={word.form}")
    try:
        return word.parse(value)
    except ConfigError as error:
        raise ConfigError(f"fault: {word.key}: {error}") from error


def _point_of(words: list[Word]) -> Point:
    """Return the point at which all words have a meaning. Raises ConfigError if there is none."""
    named = [NAMES_A_POINT[word.key] for word in words if word.key in NAMES_A_POINT]
    candidates = [point for point in PREFERRED if not named or point in named]
    for word in words:
        remaining = [point for point in candidates if point in word.points]
        if not remaining:
            other = next(each for each in words if each.points.isdisjoint(word.points) or each.key in NAMES_A_POINT)
            where = " or ".join(sorted(word.points))
            raise ConfigError(f"fault: {word.key} is for the point {where}, and {other.key} is for another")
        candidates = remaining
    return candidates[0]


def _faults_at(point: Point) -> list[str]:
    return [word.key for word in WORDS.values() if word.kind is Kind.FAULT and point in word.points]
