"""The document with the table of rules and the table of keys."""

from collections.abc import Sequence
from pathlib import Path

from odx_target.iscsi.negotiation.keys import KEYS, Key, Kind, Sender, encode_value
from tests.iscsi.coverage.row import Row

PATH = Path(__file__).parents[3] / "docs" / "coverage-iscsi.md"

HEAD = """# Rules of iSCSI: names, login, text, keys

`make coverage` makes this page from `tests/iscsi/coverage`. A test checks that the page is up to date and that every named
test exists. The clauses are clauses of RFC 7143 unless another standard is named. The rules are not quotations. A note in
italics is an exception, or the reason why a rule has no test.

"""

NAMES_OF_KINDS = {
    Kind.LIST: "list",
    Kind.MINIMUM: "minimum",
    Kind.MAXIMUM: "maximum",
    Kind.AND: "AND",
    Kind.OR: "OR",
    Kind.DECLARED_NUMBER: "declared number",
    Kind.DECLARED_TEXT: "declared text",
    Kind.OBSOLETE_BOOLEAN: "obsolete, answered No",
    Kind.OBSOLETE_NUMBER: "obsolete, answered Reject",
    Kind.SECURITY: "of an authentication method",
}


def document(rows: Sequence[Row]) -> str:
    """Return the text of the whole document."""
    return f"{HEAD}{_rules(rows)}\n## Keys\n\nThis table is made from the table of keys in the code.\n\n{_keys()}"


def _rules(rows: Sequence[Row]) -> str:
    lines = ["## Rules\n", "| clause | binds | strength | rule | held by |", "|---|---|---|---|---|"]
    lines += map(_rule, rows)
    return "\n".join(lines) + "\n"


def _rule(row: Row) -> str:
    note = f" *{row.note}*" if row.note else ""
    return f"| {row.clause} | {row.side.value} | {row.strength.value} | {row.rule}{note} | {_held(row)} |"


def _held(row: Row) -> str:
    return "<br>".join(f"`{test.removeprefix('tests/')}`" for test in row.tests) or "-"


def _keys() -> str:
    lines = ["| key | kind | use | sent by | default | range | bytes | stage, session |", "|---|---|---|---|---|---|---|---|"]
    return "\n".join([*lines, *map(_key, KEYS)]) + "\n"


def _key(key: Key) -> str:
    sender = {Sender.INITIATOR: "initiator", Sender.TARGET: "target"}.get(key.sender, "both")
    limits = f"{key.lowest} to {key.highest}" if key.highest else ", ".join(key.choices)
    places = ("any stage" if key.in_security_stage else "", "irrelevant in discovery" if key.irrelevant_in_discovery else "")
    bytes_ = f"{key.max_value_bytes}{' each' if key.is_list else ''}"
    default = "" if key.default == "" else encode_value(key.default)
    where = ", ".join(filter(None, places))
    return (
        f"| {key.name} | {NAMES_OF_KINDS[key.kind]} | {key.use.name} | {sender} | {default} | {limits} | {bytes_} | {where} |"
    )
