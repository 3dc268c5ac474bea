"""`odx-target ready` against the array, against tgt, and against naive disks whose answers a test replaces."""

import json
from pathlib import Path

import pytest
import trio
import typer
from bench.tgt import tgt
from typer.testing import CliRunner, Result

from odx_target.cli.failure import CommandFailure
from odx_target.cli.hosts.ready import ready
from odx_target.cli.hosts.ready.ddpt_readiness import ddpt_readiness
from odx_target.cli.hosts.ready.esxi_readiness import esxi_readiness
from odx_target.cli.hosts.ready.readiness import HostKind, Readiness
from odx_target.initiator.result import CommandResult
from odx_target.testing import running_array
from tests.initiator.esxi.bench import RUNTIME
from tests.initiator.esxi.naive_disk import INVALID_OPERATION_CODE, XCOPY, NaiveEsxiDisk
from tests.initiator.naive_target import Array, NaiveDisk, check_condition
from tests.interop.programs import need

app = typer.Typer(pretty_exceptions_enable=False)
app.command("ready")(ready.ready)

REPORT_SUPPORTED_OPERATION_CODES = (0xA3, 0x0C)


def typed(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, list(words))


def reasons(output: str) -> list[str]:
    return [line.strip() for line in output.splitlines() if line.startswith("  because")]


def test_the_array_is_ready_for_all_hosts_and_nothing_is_written() -> None:
    with running_array(luns={"a": "1M"}) as array:
        array.fill("a", b"before")
        before = array.digest("a")
        result = typed(array.url("a"))
        assert result.exit_code == 0, result.output
        assert [line.split(" for ")[0] for line in result.output.splitlines() if " for " in line] == [
            "windows: ready",
            "esxi: ready",
            "ddpt: ready",
        ]
        assert "the target made a token of 262144 bytes" in result.output
        assert array.digest("a") == before
        assert array.offload.tokens == 2
        assert not array.offload.refused


def test_json_names_the_chosen_hosts() -> None:
    with running_array(luns={"a": "1M"}) as array:
        result = typed(array.url("a"), "--json", "--for", "esxi", "--for", "ddpt", "--for", "esxi")
    assert result.exit_code == 0, result.output
    document = json.loads(result.output[result.output.index("{") :])  # the array logs to the same output
    assert document["url"] == array.url("a")
    assert [(answer["host"], answer["ready"], answer["reasons"]) for answer in document["hosts"]] == [
        ("esxi", True, []),
        ("ddpt", True, []),
    ]


def test_a_lun_that_does_not_exist_is_ready_for_no_host() -> None:
    with running_array(luns={"a": "1M"}) as array:
        result = typed(array.url("a")[:-1] + "5")
    assert isinstance(result.exception, CommandFailure)
    assert str(result.exception) == "not ready: windows, esxi, ddpt"
    assert reasons(result.output)[0] == "because REPORT LUNS does not list the logical unit (LUN 5)"
    assert len(reasons(result.output)) == 3


def test_an_array_that_makes_no_token_is_not_ready_for_windows_and_ddpt() -> None:
    with running_array(luns={"a": "1M"}, settings={"remote-luns": ["a"]}) as array:
        result = typed(array.url("a"))
    assert result.exit_code != 0
    assert str(result.exception) == "not ready: windows, ddpt"
    assert all("POPULATE TOKEN" in reason for reason in reasons(result.output))


@pytest.mark.interop
def test_tgt_is_ready_for_no_host(tmp_path: Path) -> None:
    need("tgtd")
    with tgt(tmp_path / "disk", 8 << 20) as url:
        result = typed(url)
    assert str(result.exception) == "not ready: windows, esxi, ddpt"
    assert "because VPD page 8Fh is not in the list of pages" in reasons(result.output)
    assert "because 3PC is 0 in the INQUIRY data: no EXTENDED COPY" in reasons(result.output)


def ddpt(disk: NaiveDisk) -> Readiness:
    return trio.run(ddpt_readiness, disk, trio.sleep, "LUN 0")


def test_ddpt_needs_3pc_page_8fh_and_a_token() -> None:
    assert ddpt(NaiveDisk(Array(), bytearray(1 << 20))).is_ready
    without_page = ddpt(NaiveDisk(Array(), bytearray(1 << 20), page=None))
    assert list(without_page.reasons) == ["it has no VPD page 8Fh (third-party copy)"]

    def without_3pc(cdb: bytes, data: bytes) -> CommandResult | None:
        is_standard_inquiry = cdb[0] == 0x12 and not cdb[1]
        return CommandResult(0, bytes([0, 0, 6, 2, 31, 0, 0, 2]) + bytes(28)) if is_standard_inquiry else None

    assert list(ddpt(NaiveDisk(Array(), bytearray(1 << 20), faults=without_3pc)).reasons) == ["3PC is 0 in the INQUIRY data"]

    def without_token(cdb: bytes, data: bytes) -> CommandResult | None:
        return check_condition(5, 0x26, 0) if cdb[:2] == b"\x83\x10" else None

    (reason,) = ddpt(NaiveDisk(Array(), bytearray(1 << 20), faults=without_token)).reasons
    assert reason.startswith("POPULATE TOKEN of one block: ")


def esxi(disk: NaiveEsxiDisk) -> Readiness:
    return trio.run(esxi_readiness, disk, RUNTIME, "LUN 0")


def answers(operation: tuple[int, int], result: CommandResult) -> NaiveEsxiDisk:
    def fault(cdb: bytes, data: bytes) -> CommandResult | None:
        defaults = {XCOPY: CommandResult(0), REPORT_SUPPORTED_OPERATION_CODES: INVALID_OPERATION_CODE}
        return {**defaults, operation: result}.get((cdb[0], cdb[1]))

    return NaiveEsxiDisk(bytearray(1 << 20), faults=fault)


@pytest.mark.parametrize(
    ("support", "is_ready"), [(0x00, True), (0x01, False), (0x03, True), (0x05, True), (0x83, True), (0x81, False)]
)
def test_esxi_asks_if_write_same_is_supported(support: int, is_ready: bool) -> None:
    answer = esxi(answers(REPORT_SUPPORTED_OPERATION_CODES, CommandResult(0, bytes([0, support, 0, 16]))))
    assert answer.is_ready == is_ready
    assert list(answer.reasons) == ([] if is_ready else ["WRITE SAME (16) is not supported: ESXi writes zeros by WRITE"])


def test_esxi_needs_extended_copy_and_ats() -> None:
    (reason,) = esxi(answers(XCOPY, INVALID_OPERATION_CODE)).reasons
    assert reason.startswith("EXTENDED COPY without a parameter list: ")
    without_ats = answers((0, 0), CommandResult(0))
    without_ats.max_compare_blocks, without_ats.third_party_copy = 0, False
    assert [reason.split(":")[0] for reason in esxi(without_ats).reasons] == [
        "MAXIMUM COMPARE AND WRITE LENGTH is 0",
        "3PC is 0 in the INQUIRY data",
    ]


def test_every_host_has_an_answer() -> None:
    assert [kind.value for kind in HostKind] == ["windows", "esxi", "ddpt"]
