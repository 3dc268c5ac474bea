"""`odx-target serve --trace`, switched on and off by a signal."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from odx_target.initiator.session.opening import discover
from odx_target.initiator.session.options import SessionOptions, random_isid
from odx_target.initiator.url import Portal
from tests.interop import forked
from tests.interop.serving import Served, serve

DEADLINE_S = 20


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    options = ("--trace", str(tmp_path / "trace.txt"), "--pcap", str(tmp_path / "trace.pcapng"))
    served = serve(None, ("a=1M",), log_path=tmp_path / "log", options=options)
    yield served
    served.kill()


def switch(served: Served, word: str) -> None:
    """Send the signal, and wait until the log shows its effect."""
    before = served.log.count(f"tracing is {word}")
    served.process.send_signal(signal.SIGUSR1)
    deadline_s = time.monotonic() + DEADLINE_S
    while served.log.count(f"tracing is {word}") == before:
        assert time.monotonic() < deadline_s, served.log
        time.sleep(0.01)


async def find_targets(served: Served, name: str) -> None:
    host, port = served.portal.rsplit(":", 1)
    options = SessionOptions(isid=random_isid(b"serve"), initiator_name=f"iqn.2026-11.example:{name}")
    assert await discover(Portal(host, int(port)), options)


async def test_a_signal_switches_off_and_on(served: Served, tmp_path: Path) -> None:
    await find_targets(served, "first")
    switch(served, "off")
    await find_targets(served, "second")
    switch(served, "on")
    await find_targets(served, "third")
    assert served.stop() == 0
    trace = (tmp_path / "trace.txt").read_text()
    assert [name for name in ("first", "second", "third") if f"InitiatorName=iqn.2026-11.example:{name}" in trace] == [
        "first",
        "third",
    ]
    assert "Text Response final" in trace
    packets = (tmp_path / "trace.pcapng").read_bytes()
    assert b"example:third" in packets
    assert b"example:second" not in packets


async def test_files_may_be_named_in_the_settings_and_an_option_wins(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    (tmp_path / "array.toml").write_text('trace = "one.txt"\npcap = "one.pcapng"\npcap-snap-length = 128\n')
    options = ("--config", str(tmp_path / "array.toml"), "--pcap", str(tmp_path / "two.pcapng"))
    served = serve(None, ("a=1M",), log_path=tmp_path / "log", options=options)
    request.addfinalizer(served.kill)
    await find_targets(served, "first-of-all")
    assert served.stop() == 0
    assert "InitiatorName=iqn.2026-11.example:first-of-all" in (tmp_path / "one.txt").read_text()
    assert b"example:first-of-all" not in (tmp_path / "two.pcapng").read_bytes(), "the name goes beyond the first 128 bytes"
    assert not (tmp_path / "one.pcapng").exists()


async def test_the_signal_does_no_harm_without_a_trace(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    served = serve(None, ("a=1M",), log_path=tmp_path / "log")
    request.addfinalizer(served.kill)
    served.process.send_signal(signal.SIGUSR1)
    await find_targets(served, "first")
    assert served.stop() == 0
    assert "neither --trace nor --pcap" in served.log


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--trace", "no-such-folder/trace"], 1, "no-such-folder/trace"),
        (["--pcap", "no-such-folder/pcap"], 1, "no-such-folder/pcap"),
        (["--pcap", "/proc/self/exe"], 1, "/proc/self/exe: this is a symbolic link"),
        (["--trace", "t", "--pcap", "./t"], 2, "trace and pcap are the same file"),
        (["--pcap", "p", "--pcap-snap-length", "127"], 2, "128"),
        (["--pcap", "p", "--pcap-snap-length", "262145"], 2, "262144"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(tmp_path: Path, options: list[str], code: int, words: str) -> None:
    arguments = ["serve", "--lun", "a=1M", "--portal", "127.0.0.1:0", *options]
    ended = forked.run(*arguments, folder=tmp_path, timeout_s=DEADLINE_S)
    assert ended.returncode == code
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
