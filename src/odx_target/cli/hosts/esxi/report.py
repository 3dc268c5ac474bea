"""The report of `esxi-copy`: numbers of commands, findings, hardware acceleration, and the progress of a copy."""

from collections import Counter
from typing import Annotated, TypedDict

from odx_target.cli.text.finding_data import FindingData
from odx_target.cli.text.sizes import rate, size
from odx_target.initiator.esxi.data_mover import CopyReport
from odx_target.initiator.esxi.disk import EsxiDisk
from odx_target.initiator.esxi.host import EsxiHost, Work
from odx_target.initiator.esxi.rules import Finding, Weight


class EsxiDiskData(TypedDict):
    """A disk, and its hardware acceleration."""

    name: str
    acceleration: Annotated[str, "state of each primitive as text"]


class EsxiPieces(TypedDict):
    """Pieces of the same size, which took the same numbers of commands."""

    pieces: Annotated[int, "number of pieces"]
    size_bytes: Annotated[int, "size of each piece"]
    extended_copies: Annotated[int, "numbers of commands of each piece"]
    write_sames: int
    reads: int
    writes: int


class EsxiCopyAnswer(TypedDict):
    """The result of a copy of a virtual disk in the way of ESXi."""

    total_bytes: int
    cloned_bytes: Annotated[int, "copied by EXTENDED COPY"]
    copied_bytes: Annotated[int, "copied by reads and writes"]
    zeroed_bytes: Annotated[int, "zeroed by WRITE SAME"]
    zeroed_by_writes_bytes: int
    elapsed_s: float
    declined: Annotated[str | None, "why ESXi would have given up the offload"]
    findings: list[FindingData]
    disks: list[EsxiDiskData]
    pieces: list[EsxiPieces]
    differs_at_byte: Annotated[int | None, "first byte of the virtual disk that differs; null if the copy is right"]


def esxi_answer(
    report: CopyReport, elapsed_s: float, host: EsxiHost, disks: list[EsxiDisk], difference: int | None
) -> EsxiCopyAnswer:
    """Return the result as plain data."""
    declined = next(iter(host.declines), None)
    return {
        "total_bytes": report.total_bytes,
        "cloned_bytes": report.cloned_bytes,
        "copied_bytes": report.copied_bytes,
        "zeroed_bytes": report.zeroed_bytes,
        "zeroed_by_writes_bytes": report.zeroed_by_writes_bytes,
        "elapsed_s": elapsed_s,
        "declined": None if declined is None else str(declined),
        "findings": [
            {"weight": first.rule.weight.value, "words": str(first), "times": times} for first, times in _first_findings(host)
        ],
        "disks": [{"name": disk.name, "acceleration": disk.acceleration_words} for disk in disks],
        "pieces": [
            {
                "pieces": count,
                "size_bytes": size_bytes,
                "extended_copies": work.extended_copies,
                "write_sames": work.write_sames,
                "reads": work.reads,
                "writes": work.writes,
            }
            for (size_bytes, work), count in report.pieces.items()
        ],
        "differs_at_byte": difference,
    }


def work_words(work: Work) -> str:
    """Return the numbers of commands of a piece as text."""
    counts = {
        "EXTENDED COPY": work.extended_copies,
        "WRITE SAME": work.write_sames,
        "READ": work.reads,
        "WRITE": work.writes,
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def piece_lines(pieces: Counter[tuple[int, Work]]) -> list[str]:
    """Return one line for each kind of pieces, which have the same size and the same numbers of commands."""
    return [
        f"{count} {'piece' if count == 1 else 'pieces'} of {size(size_bytes)}: {work_words(work)}{' each' if count > 1 else ''}"
        for (size_bytes, work), count in pieces.items()
    ]


def summary_lines(
    report: CopyReport, elapsed_s: float, host: EsxiHost, disks: list[EsxiDisk], difference: int | None
) -> list[str]:
    """Return the last lines of the output."""
    return [
        *finding_lines(host),
        *(f"{disk.name} {disk.acceleration_words}" for disk in disks),
        *piece_lines(report.pieces),
        f"{report.total_bytes} bytes ({size(report.total_bytes)}) in {elapsed_s:.3f} s, {rate(report.total_bytes, elapsed_s)}; "
        f"{bytes_words(report)}",
        "equal" if difference is None else f"NOT EQUAL from byte {difference} of the virtual disk on",
    ]


def bytes_words(report: CopyReport) -> str:
    """Return the numbers of bytes that were done in each way as text."""
    zeroed = f", {report.zeroed_bytes} zeroed by WRITE SAME, {report.zeroed_by_writes_bytes} zeroed by writes"
    has_zeroed = report.zeroed_bytes or report.zeroed_by_writes_bytes
    return f"{report.cloned_bytes} bytes offloaded, {report.copied_bytes} by reads and writes{zeroed if has_zeroed else ''}"


def progress_text(report: CopyReport, size_bytes: int) -> str:
    """Describe the progress of an interrupted copy."""
    if not report.total_bytes:
        return "nothing is copied"
    return f"{report.total_bytes} of {size_bytes} bytes are done ({bytes_words(report)}), and nothing is compared"


def finding_lines(host: EsxiHost) -> list[str]:
    """Return one line for each rule in the findings, with the most severe rule first."""
    return [
        f"{first.rule.weight.value}: {first}{f', {times} times' if times > 1 else ''}" for first, times in _first_findings(host)
    ]


def _first_findings(host: EsxiHost) -> list[tuple[Finding, int]]:
    """Return the first finding of each rule and the number of its findings, with the most severe rule first."""
    counts = Counter(finding.rule for finding in host.findings)
    firsts = [next(finding for finding in host.findings if finding.rule is rule) for rule in counts]
    firsts.sort(key=lambda one: list(Weight).index(one.rule.weight))
    return [(first, counts[first.rule]) for first in firsts]
