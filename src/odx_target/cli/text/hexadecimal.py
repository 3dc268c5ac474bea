"""Conversion of pasted hexadecimal text to bytes."""

import re
import sys

import typer

MAX_INPUT_CHARACTERS = 1 << 22
"""Maximum number of characters that are read. The text of every CDB, page, token and PDU of an array is shorter than this
limit.
"""
_SEPARATORS = re.compile(r"[\s:,;]+|0[xX]")


def hexadecimal(text: str) -> bytes:
    """Return the bytes of a hexadecimal text. Blanks, colons, commas or newlines may separate the digits. If the text is `-`,
    standard input is read instead.

    Raises typer.BadParameter.
    """
    if text == "-":
        text = _standard_input()
    digits = _SEPARATORS.sub("", text)
    if not digits:
        raise typer.BadParameter("no bytes given")
    try:
        return bytes.fromhex(digits)
    except ValueError:
        wrong = re.search(r"[^0-9a-fA-F]", digits)
        reason = f"{wrong[0]!r} is no hexadecimal digit" if wrong else f"{len(digits)} hexadecimal digits are no whole bytes"
        raise typer.BadParameter(reason) from None


def _standard_input() -> str:
    if sys.stdin is None:
        raise typer.BadParameter("standard input is closed")
    try:
        return sys.stdin.read(MAX_INPUT_CHARACTERS)
    except UnicodeDecodeError:
        raise typer.BadParameter("standard input is no text: want hexadecimal digits, as of those of xxd -p") from None
