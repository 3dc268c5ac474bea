"""The arguments and options of `windows-copy`, as types."""

from typing import Annotated

import typer

MAX_FRAGMENTS = 4096
"""Largest number of extents of the source file, so that a report of all extents stays readable."""

Source = Annotated[str, typer.Argument(metavar="SRC", help="The source: iscsi://[USER%SECRET@]HOST:PORT/IQN/LUN.")]
Destination = Annotated[
    str, typer.Argument(metavar="DST", help="The destination, in the same form; the blocks of the file are overwritten.")
]
FileSize = Annotated[str, typer.Option("--file-size", metavar="SIZE", help="Size of the file, such as 1G.")]
Fragments = Annotated[int, typer.Option(min=1, max=MAX_FRAGMENTS, metavar="N", help="Number of extents of the source file.")]
SourceLba = Annotated[int, typer.Option(min=0, metavar="LBA", help="First block of the file on the source.")]
DestinationLba = Annotated[int, typer.Option(min=0, metavar="LBA", help="First block of the file on the destination.")]
Zero = Annotated[bool, typer.Option("--zero", help="Write zeros by the zero token; the source is not read.")]
Fill = Annotated[bool, typer.Option("--fill", help="First write a pattern to the file on the source; the old data is lost.")]
ValidSize = Annotated[
    str | None,
    typer.Option(
        "--valid-size",
        metavar="SIZE",
        help="Size of the part of the source file that has been written; default: the whole file.",
    ),
]
Trace = Annotated[bool, typer.Option("--trace", help="Print all fields and bytes of commands and answers.")]
Paths = Annotated[int, typer.Option(min=1, max=8, metavar="N", help="Number of sessions to each target, as with MPIO.")]
PathOfCommands = Annotated[
    str,
    typer.Option(
        metavar="HOW",
        help="Path of each command: one; other (a second path for RECEIVE ROD TOKEN INFORMATION); round-robin.",
    ),
]
Digests = Annotated[bool, typer.Option("--digests", help="Require header and data digests.")]
FirstListIdentifier = Annotated[int, typer.Option(min=0, max=0xFFFFFFFF, metavar="N", help="The first list identifier.")]
Lifetime = Annotated[
    int,
    typer.Option(
        min=0, max=0xFFFFFFFF, metavar="SECONDS", help="Inactivity timeout of the tokens; 0 means the target's default."
    ),
]
