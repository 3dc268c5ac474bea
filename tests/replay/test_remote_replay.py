"""Replays against other targets: values that a target chooses are mapped, and the rest is compared by the table."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from odx_target.initiator.session.connecting import connect_tcp
from odx_target.initiator.url import Portal
from odx_target.iscsi.pdu.headers import PDU_CLASSES
from odx_target.replay.field_table import FIELDS, IGNORED_DATA, Treatment, treatment_of
from odx_target.replay.remote_replay import RemoteResult, replay_remotely
from odx_target.target.session_file.frame_reader import Recording, read_recording
from odx_target.target.session_file.frames import FrameKind
from odx_target.testing import RunningArray, running_array

LUNS = {"a": "1M", "b": "1M"}


@pytest.fixture(scope="module")
def recording(module_path: Path) -> Recording:
    """A session with writes that need R2Ts, reads of many PDUs, and a copy by token."""
    path = module_path / "recording"
    with running_array(luns=LUNS, record_to=path) as array:
        array.host().write("b", 0, bytes(range(256)) * 2)  # a first session, so that others have other TSIHs
        host = array.host("iqn.2026-11.io.odx-target:second-host")
        data = bytes(range(256)) * 2048
        host.write("a", 0, data)
        assert host.read("a", 0, 1024) == data
        token = host.populate_token("a")
        host.write_using_token("b", token)
        assert host.read("b", 0, 1024) == data
    return read_recording(path)


@pytest.fixture
def other() -> Iterator[RunningArray]:
    """Another array, with other tokens and another name, and with sessions before those of the recording."""
    settings = {"iqn": "iqn.2026-11.com.example:other"}
    with running_array(luns=LUNS, settings=settings) as array:
        array.host().write("a", 8, bytes(512))
        yield array


def replayed(recording: Recording, array: RunningArray) -> RemoteResult:
    host, _, port = array.portal.rpartition(":")
    return trio.run(replay_remotely, recording, Portal(host, int(port)), array.target, connect_tcp)


def test_another_array_gives_equal_answers(recording: Recording, other: RunningArray) -> None:
    result = replayed(recording, other)
    assert result.difference is None, result.difference.lines()
    assert result.equal > 20
    assert result.warnings == []
    assert other.read("b", 0, 512) == bytes(range(256)) * 2


def test_another_size_is_a_difference(recording: Recording) -> None:
    with running_array(luns={"a": "1M", "b": "2M"}) as other:
        difference = replayed(recording, other).difference
    assert difference is not None
    assert any(line.startswith("data, byte ") for line in difference.lines())
    assert any("returned_logical_block_address=2047" in line for line in difference.lines())


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ("command=write first=1 status=busy", "status: recorded 00h, now 08h"),
        ("command=read first=1 sense=unrecovered-read-error", "status: recorded 00h, now 02h (MEDIUM ERROR"),
        ("command=populate-token first=1 status=task-set-full", "status: recorded 00h, now 28h"),
        ("pdu=scsi-response nth=3 cut=0", "answer: recorded a PDU, now no answer"),
    ],
)
def test_a_fault_of_the_other_target_is_named(recording: Recording, other: RunningArray, rule: str, field: str) -> None:
    other.faults.add(rule)
    difference = replayed(recording, other).difference
    assert difference is not None
    assert any(line.startswith(field) for line in difference.lines()), difference.lines()


@pytest.mark.parametrize(
    "key", ["ImmediateData=Yes", "InitialR2T=No", "FirstBurstLength=262144", "MaxRecvDataSegmentLength=262144"]
)
def test_data_is_sent_as_a_target_with_other_bursts_requests_it(recording: Recording, other: RunningArray, key: str) -> None:
    """The recorded login answer had another value, so the present target has negotiated other bursts."""
    name = key.partition("=")[0].encode()
    frames = []
    for frame in recording.frames:
        if frame.kind is FrameKind.SENT and key.encode() in frame.content:
            content = frame.content.replace(key.encode(), name + b"=" + b"1" * (len(key) - len(name) - 1))
            assert content != frame.content
            frames.append(replace(frame, content=content))
        else:
            frames.append(frame)
    assert frames != list(recording.frames)
    result = replayed(Recording(tuple(frames)), other)
    assert result.difference is None, result.difference.lines()
    assert other.read("b", 0, 512) == bytes(range(256)) * 2


def test_what_cannot_be_repeated_is_said(recording: Recording, other: RunningArray) -> None:
    frames = [*recording.frames]
    frames.insert(1, replace(frames[0], kind=FrameKind.OPERATION, content=b"{}"))
    result = replayed(Recording(tuple(frames)), other)
    assert result.warnings == ["1 operations of the operator, such as faults, are not repeated"]


def test_each_row_of_the_table_has_a_reason_and_names_a_field() -> None:
    for row in FIELDS:
        assert row.reason
        assert row.treatment is not Treatment.STRICT
        pdus = list(PDU_CLASSES.values()) if row.pdu is None else [row.pdu]
        assert row.field == "*" or any(row.field in pdu.__dataclass_fields__ for pdu in pdus)
        assert row.pdu is None or treatment_of(row.pdu, row.field) is row.treatment
    assert all(IGNORED_DATA.values())
