"""REFUSAL, the answer to a request that the receiver does not accept."""

from typing import NamedTuple

from odx_target.environment import Buffer
from odx_target.replica.link.bounded_json import decode_object, encode_object
from odx_target.replica.link.hello import MAX_CODE_CHARACTERS
from odx_target.replica.link.limits import MAX_TEXT_BYTES
from odx_target.replica.link.messages import Field, Type, read_message, shortened

REFUSAL_FIELDS = (
    Field("code", Type.TEXT, 1, MAX_CODE_CHARACTERS, "reason of the refusal"),
    Field("text", Type.TEXT, 0, MAX_TEXT_BYTES, "the reason for a person", ""),
)


class Refusal(NamedTuple):
    """The content of a REFUSAL."""

    code: str
    text: str


def encode_refusal(code: str, text: str) -> bytes:
    return encode_object({"code": code, "text": shortened(text)})


def decode_refusal(body: Buffer) -> Refusal:
    """Decode the body of a REFUSAL. Raises PeerFault."""
    found = read_message(REFUSAL_FIELDS, decode_object(body))
    return Refusal(found.text("code"), found.text("text"))
