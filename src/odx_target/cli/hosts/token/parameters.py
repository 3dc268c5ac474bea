"""The arguments and options of the commands of `odx-target token`."""

import re
from pathlib import Path
from typing import Annotated

import typer

from odx_target.initiator.copying.token_commands import TOKEN_BYTES, BlockRange, RodType

ROD_TYPES = {
    "access": RodType.ACCESS_UPON_REFERENCE,
    "pit-default": RodType.POINT_IN_TIME_DEFAULT,
    "pit-vulnerable": RodType.POINT_IN_TIME_CHANGE_VULNERABLE,
    "pit-persistent": RodType.POINT_IN_TIME_PERSISTENT,
    "pit-any": RodType.POINT_IN_TIME_ANY,
    "zero": RodType.ZERO,
}


def number(text: str) -> int:
    """Return the number in a text: decimal, or hexadecimal after 0x. Raises typer.BadParameter."""
    try:
        return int(text, 0)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number") from None


def block_range(text: str) -> BlockRange:
    """Return the range of blocks in a text of the form `LBA,COUNT`. Raises typer.BadParameter."""
    match = re.fullmatch(r"(0[xX][0-9a-fA-F]{1,16}|\d{1,20}),(0[xX][0-9a-fA-F]{1,8}|\d{1,10})", text)
    if not match:
        raise typer.BadParameter(f"{text!r}: a range is LBA,COUNT")
    found = BlockRange(number(match[1]), number(match[2]))
    if found.lba >= 1 << 64 or found.count_blocks >= 1 << 32:
        raise typer.BadParameter(f"{text!r}: LBA has 64 bits, COUNT 32")
    return found


def list_identifier(text: str | int) -> int:
    """Return a list identifier of 32 bits. `text` is a number only if it is the default value. Raises typer.BadParameter."""
    found = number(str(text))
    if not 0 <= found < 1 << 32:
        raise typer.BadParameter(f"{text}: a list identifier has 32 bits")
    return found


def rod_type(text: str) -> int:
    """Return the ROD type for a name in ROD_TYPES or for a number. Raises typer.BadParameter."""
    if text in ROD_TYPES:
        return ROD_TYPES[text]
    if not re.fullmatch(r"0[xX][0-9a-fA-F]{1,8}|\d{1,9}", text):
        raise typer.BadParameter(f"{text!r} is none of {', '.join(ROD_TYPES)}, and no number")
    return number(text)


def read_token(token_file: Path) -> bytes:
    """Return the token in a file. Raises typer.BadParameter."""
    try:
        with token_file.open("rb") as file:
            token = file.read(TOKEN_BYTES + 1)
    except OSError as error:
        raise typer.BadParameter(f"{token_file}: {error.strerror}", param_hint="--token-file") from None
    if len(token) != TOKEN_BYTES:
        raise typer.BadParameter(
            f"{token_file}: a ROD token has {TOKEN_BYTES} bytes, this has {'more' if token[TOKEN_BYTES:] else len(token)}",
            param_hint="--token-file",
        )
    return token


Url = Annotated[str, typer.Argument(metavar="URL", help="The LUN: iscsi://[USER%SECRET@]HOST:PORT/IQN/LUN.")]
Ranges = Annotated[
    list[BlockRange] | None,
    typer.Option("--range", parser=block_range, metavar="LBA,COUNT", help="Range of blocks; may be repeated."),
]
Kind = Annotated[
    int | None, typer.Option("--rod-type", parser=rod_type, metavar="TYPE", help=f"One of {', '.join(ROD_TYPES)}, or a number.")
]
InactivityTimeout = Annotated[
    int,
    typer.Option(
        min=0, max=0xFFFFFFFF, metavar="SECONDS", help="Inactivity timeout of the token; 0 means the target's default."
    ),
]
Identifier = Annotated[
    int, typer.Option("--list-identifier", parser=list_identifier, metavar="N", help="List identifier of the operation.")
]
Immediate = Annotated[
    bool,
    typer.Option(
        "--immed",
        help="Set IMMED: the copy runs in the background. A single command waits for the end of the copy; "
        "a script continues at once.",
    ),
]
TokenOut = Annotated[Path | None, typer.Option("--token-file", metavar="FILE", help="File to write the token to.")]
TokenIn = Annotated[
    Path | None,
    typer.Option(
        "--token-file", metavar="FILE", help="File with the token to use; default in a script: the last token of the script."
    ),
]
Zero = Annotated[bool, typer.Option("--zero", help="Use the block device zero token, which writes zeros.")]
Offset = Annotated[
    int,
    typer.Option(
        "--offset-into-rod",
        min=0,
        metavar="BLOCKS",
        help="Offset in the token's data at which to begin, in blocks of the destination.",
    ),
]
DeleteToken = Annotated[bool, typer.Option("--del-tkn", help="Set DEL_TKN: the target deletes the token after the copy.")]
Poll = Annotated[bool, typer.Option("--poll", help="Repeat the command until the operation has ended.")]
