"""docs/link.md: every byte of the link between two arrays. `python -m tests.replica.link.page` makes its tables again."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from odx_target.replica.blocks import formats
from odx_target.replica.blocks import limits as blocks_limits
from odx_target.replica.blocks.requests import BLOCKS_FIELDS, DIGEST_ANSWER_FIELDS, DIGEST_FIELDS
from odx_target.replica.grouping import messages as grouping
from odx_target.replica.link import limits
from odx_target.replica.link.channels import TrafficClass
from odx_target.replica.link.frame import HEADER_BYTES, HEADER_FIELDS, Frame, encode
from odx_target.replica.link.hello import GOODBYE_FIELDS, HELLO_FIELDS, Farewell
from odx_target.replica.link.kinds import ROWS, Flag, Kind, Scope
from odx_target.replica.link.messages import Field
from odx_target.replica.link.refusals import REFUSAL_FIELDS
from odx_target.replica.link.schedule import WEIGHTS
from odx_target.replica.pairing.messages import FORMATS
from odx_target.replica.remote_tokens import limits as token_limits
from odx_target.replica.remote_tokens.messages import BLOCKS_FIELDS as TOKEN_BLOCKS_FIELDS
from odx_target.replica.remote_tokens.messages import (
    CLOSE_FIELDS,
    CONDITIONS,
    MADE_FIELDS,
    MAKE_FIELDS,
    OPEN_FIELDS,
    OPENED_FIELDS,
    UNIT_CODES,
    WRITE_FIELDS,
    WRITTEN_FIELDS,
)
from odx_target.replica.snapshots import limits as snapshots_limits
from odx_target.replica.snapshots.messages import (
    BASES_ANSWER_FIELDS,
    BASES_FIELDS,
    PUBLISH_FIELDS,
    RECEIVE_FIELDS,
    REVERSE_ANSWER_FIELDS,
    REVERSE_FIELDS,
    SETTLE_FIELDS,
)
from odx_target.replica.sync import membership_messages
from odx_target.replica.sync.anchors import changed_blocks, reading
from odx_target.replica.sync.anchors.reading import READ_FIELDS
from odx_target.replica.sync.stream import items, stream_meter
from odx_target.replica.sync.stream.documents import DOCUMENTS
from odx_target.replica.sync.stream.preparation import PREPARATIONS
from odx_target.replica.sync.stream.stream_messages import GREETING_FIELDS

PATH = Path(__file__).parents[3] / "docs" / "link.md"

TYPES = {"B": ("u8", 1), "H": ("u16", 2), "I": ("u32", 4), "Q": ("u64", 8)}

CLASSES = {
    TrafficClass.CONTROL: "frames of channel 0, and CREDIT",
    TrafficClass.SYNCHRONOUS: "messages of synchronous replication",
    TrafficClass.TOKEN: "data of tokens, for which a host waits",
    TrafficClass.RESYNC: "data that a synchronous replica must still get",
    TrafficClass.SNAPSHOT: "data of snapshots",
}

STATES = {
    formats.BlockState.HOLE: "the block has no data",
    formats.BlockState.FINGERPRINT: "the OFFER has the fingerprint; the block is sent if the receiver wants it",
    formats.BlockState.UNASKED: "the block is sent in any case",
    formats.BlockState.LOST: "the sender cannot read the block",
    formats.BlockState.SAME: "the receiver has the block, because it is the same in the base; only in an exchange with a base",
}

HIDDEN = {
    (blocks_limits, "BLOCK_BYTES"),
    *((snapshots_limits, name) for name in ("MIN_RETRY_S", "MAX_RETRY_S", "MAX_PROTECTIONS", "MAX_COPIES", "MAX_REJECTIONS")),
}
"""Names in the modules of limits that are no limits of the protocol, or have the name of another one."""

FAREWELLS = {
    Farewell.STOPPING: "the sender stops, or the path was removed",
    Farewell.DUPLICATE: "the sender keeps another connection of the same path",
    Farewell.VERSION: "there is no common version",
    Farewell.STRANGER: "the receiver is not the array that the sender was paired with",
    Farewell.FAULT: "the receiver has violated the protocol",
}


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(str(cell) for cell in line)} |" for line in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def header_table() -> str:
    rows, at = [], 0
    for field in HEADER_FIELDS:
        name, size = TYPES[field.code]
        rows.append((at, name, f"`{field.name}`", field.meaning))
        at += size
    return table(("offset", "type", "field", "meaning"), rows)


def kind_table() -> str:
    return table(
        ("kind", "name", "channel", "argument", "body", "most bytes", "flags", "uses credit"),
        (
            (
                f"{row.kind:02X}h",
                row.kind.name,
                "0" if row.scope is Scope.CONNECTION else "any other",
                row.argument,
                row.body,
                f"{row.max_body_bytes:,}",
                row.flags.value or "none",
                "yes" if row.is_credited else "no",
            )
            for row in ROWS
        ),
    )


def field_table(fields: Sequence[Field]) -> str:
    return table(
        ("field", "type", "least", "most", "meaning"),
        (
            (
                f"`{field.name}`",
                field.type.value,
                field.min,
                field.max,
                field.meaning + ("" if field.default is None else "; may be missing"),
            )
            for field in fields
        ),
    )


def class_table() -> str:
    rows = ((each.name, each.value, WEIGHTS.get(each, "first"), CLASSES[each]) for each in TrafficClass)
    return table(("class", "number", "quanta in a round", "contents"), rows)


def limit_table() -> str:
    return table(
        ("limit", "value"),
        (
            (f"`{name}`", f"{value:,}")
            for module in (limits, blocks_limits, token_limits, snapshots_limits)
            for name, value in vars(module).items()
            if name.isupper() and (module, name) not in HIDDEN and not (module is blocks_limits and name in vars(limits))
        ),
    )


def example(frame: Frame) -> str:
    content = encode(frame)
    lines = [content[:HEADER_BYTES], *([content[HEADER_BYTES:]] if frame.body else [])]
    return "\n".join("    " + line.hex(" ") for line in lines)


def token_code_table() -> str:
    rows = ((f"`{code}`", f"{each.asc:02X}h/{each.ascq:02X}h", each.words) for code, each in CONDITIONS.items())
    return table(("code", "additional sense code", "meaning"), rows)


def pairing_table() -> str:
    return body_table(FORMATS)


def body_table(bodies: Mapping[str, Iterable[Sequence[str]]]) -> str:
    rows = ((frame, *part) for frame, parts in bodies.items() for part in parts)
    return table(("frame", "type", "part", "meaning"), rows)


def membership_table() -> str:
    rows = [("any", "kind", "text", "the message")]
    for row in membership_messages.ROWS:
        rows += [(row.word, f"`{field.name}`", field.type.value, field.meaning) for field in row.fields]
    return table(("message", "field", "type", "meaning"), rows)


def document_table(documents: Mapping[str, Sequence[Field]]) -> str:
    rows: list[tuple[str, ...]] = []
    for word, fields in documents.items():
        rows += [(word, f"`{field.name}`", field.type.value, field.meaning) for field in fields]
        if not fields:
            rows.append((word, "", "", "no further fields"))
    return table(("`do`", "field", "type", "meaning"), rows)


def state_table() -> str:
    return table(("state", "number", "meaning"), ((state.name, state.value, STATES[state]) for state in formats.BlockState))


OFFER = formats.Offer(
    bytes([formats.BlockState.HOLE, formats.BlockState.FINGERPRINT, formats.BlockState.UNASKED]),
    bytes(range(16)),
    (0x11223344,),
)
EXAMPLES = {
    "offerexample": Frame(Kind.OFFER, 2, 1024, formats.encode_offer(OFFER), Flag.END),
    "wantexample": Frame(Kind.WANT, 2, 1024, formats.encode_want(3, [1])),
    "dataexample": Frame(Kind.DATA, 2, 1024, formats.encode_data_head([1, 2], [0x11223344, 0x55667788]) + b"two blocks"),
    "creditexample": Frame(Kind.CREDIT, 2, 131_072),
}
"""Frames that the page shows byte by byte, besides a PING. The data of the DATA is no data of two blocks, but short."""

TABLES: dict[str, Callable[[], str]] = {
    "header": header_table,
    "kinds": kind_table,
    "example": lambda: example(Frame(Kind.PING, argument=5)),
    "pairing": pairing_table,
    "blocks": lambda: body_table(formats.FORMATS),
    "states": state_table,
    "request": lambda: field_table(BLOCKS_FIELDS),
    "digest": lambda: field_table(DIGEST_FIELDS),
    "digestanswer": lambda: field_table(DIGEST_ANSWER_FIELDS),
    "bases": lambda: field_table(BASES_FIELDS),
    "basesanswer": lambda: field_table(BASES_ANSWER_FIELDS),
    "receive": lambda: field_table(RECEIVE_FIELDS),
    "publish": lambda: field_table(PUBLISH_FIELDS),
    "settle": lambda: field_table(SETTLE_FIELDS),
    "reverse": lambda: field_table(REVERSE_FIELDS),
    "reverseanswer": lambda: field_table(REVERSE_ANSWER_FIELDS),
    "hello": lambda: field_table(HELLO_FIELDS),
    "goodbye": lambda: field_table(GOODBYE_FIELDS),
    "farewells": lambda: table(("code", "meaning"), ((f"`{code}`", meaning) for code, meaning in FAREWELLS.items())),
    "refusal": lambda: field_table(REFUSAL_FIELDS),
    "opentoken": lambda: field_table(OPEN_FIELDS),
    "openedtoken": lambda: field_table(OPENED_FIELDS),
    "maketoken": lambda: field_table(MAKE_FIELDS),
    "madetoken": lambda: field_table(MADE_FIELDS),
    "writeunit": lambda: field_table(WRITE_FIELDS),
    "unitwritten": lambda: field_table(WRITTEN_FIELDS),
    "unitcodes": lambda: table(("code", "meaning"), ((f"`{code}`", meaning) for code, meaning in UNIT_CODES.items())),
    "closetoken": lambda: field_table(CLOSE_FIELDS),
    "tokenblocks": lambda: field_table(TOKEN_BLOCKS_FIELDS),
    "tokencodes": token_code_table,
    "greeting": lambda: field_table(GREETING_FIELDS),
    "groupvolume": lambda: field_table(grouping.VOLUME_FIELDS),
    "groupwitness": lambda: field_table(grouping.WITNESS_FIELDS),
    "groupbegin": lambda: field_table(grouping.BEGIN_FIELDS),
    "groupforget": lambda: field_table(grouping.FORGET_FIELDS),
    "ship": lambda: body_table({**items.FORMATS, **stream_meter.FORMATS}),
    "items": lambda: table(
        ("kind", "number", "meaning"), ((kind.name, kind.value, meaning) for kind, meaning in items.MEANINGS.items())
    ),
    "documents": lambda: document_table(DOCUMENTS),
    "preparations": lambda: document_table(PREPARATIONS),
    "readanchor": lambda: field_table(READ_FIELDS),
    "reading": lambda: body_table(reading.FORMATS),
    "changed": lambda: body_table(changed_blocks.FORMATS),
    "membership": membership_table,
    "classes": class_table,
    "limits": limit_table,
    **{name: partial(example, frame) for name, frame in EXAMPLES.items()},
}
"""The tables of the page, by the name in the comment before each of them."""

_TABLE = re.compile(r"(<!-- made from the code: (\w+) -->\n)\n(?:(?:\||    ).*\n)*\n?")


def page(text: str) -> str:
    """Return the text of the page with new tables."""
    return _TABLE.sub(lambda match: f"{match[1]}\n{TABLES[match[2]]()}\n\n", text).rstrip() + "\n"


if __name__ == "__main__":
    PATH.write_text(page(PATH.read_text(encoding="utf-8")), encoding="utf-8")
