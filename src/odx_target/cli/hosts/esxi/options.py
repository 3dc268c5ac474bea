"""The arguments and options of `esxi-copy`, as types."""

from typing import Annotated

import typer

from odx_target.initiator.esxi.settings import DiskType, Receiver, Release

Source = Annotated[str, typer.Argument(metavar="SRC", help="The source: iscsi://[USER%SECRET@]HOST:PORT/IQN/LUN.")]
Destination = Annotated[
    str,
    typer.Argument(metavar="DST", help="The destination, in the same form; the blocks of the virtual disk are overwritten."),
]
DiskSize = Annotated[str, typer.Option("--disk-size", metavar="SIZE", help="Size of the virtual disk, such as 1G.")]
Written = Annotated[
    str | None,
    typer.Option(
        "--written",
        metavar="SIZE",
        help="Size of the part of the source disk that has been written; default: the whole disk.",
    ),
]
DiskTypeOption = Annotated[
    DiskType,
    typer.Option(
        "--disk-type",
        help="Type of the destination disk. eagerzeroedthick: the part that was not written is zeroed by WRITE SAME.",
    ),
]
SourceType = Annotated[DiskType, typer.Option("--source-type", help="Type of the source disk.")]
SourceLba = Annotated[int, typer.Option(min=0, metavar="LBA", help="First block of the virtual disk on the source.")]
DestinationLba = Annotated[int, typer.Option(min=0, metavar="LBA", help="First block of the virtual disk on the destination.")]
ReleaseOption = Annotated[
    Release,
    typer.Option(
        "--release",
        help="Oldest release whose behaviour is used. The time until the offload is tried again depends on it.",
    ),
]
TransferSize = Annotated[
    str, typer.Option("--transfer-size", metavar="SIZE", help="Size of an EXTENDED COPY (DataMover/MaxHWTransferSize).")
]
UseArrayValues = Annotated[
    bool, typer.Option("--use-array-values", help="Use the MAXIMUM SEGMENT LENGTH of the array instead of --transfer-size.")
]
MultipleSegments = Annotated[
    bool, typer.Option("--multiple-segments", help="Send several segments in an EXTENDED COPY; needs --use-array-values.")
]
ReceiverOption = Annotated[Receiver, typer.Option("--receiver", help="The disk to which EXTENDED COPY is sent.")]
Fill = Annotated[
    bool, typer.Option("--fill", help="First write a pattern to the virtual disk on the source; the old data is lost.")
]
Trace = Annotated[bool, typer.Option("--trace", help="Print all commands and answers with all fields and bytes.")]
