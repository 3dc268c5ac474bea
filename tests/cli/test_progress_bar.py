"""Progress is shown only on a terminal, on standard error."""

import os
import pty
import subprocess
import sys
import threading

import pytest

from odx_target.cli.text.progress_bar import bar

DEMO = [sys.executable, "-m", "odx_target", "demo", "--size", "8M"]
TIMEOUT_S = 120


def test_without_a_terminal_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("fill", 100) as show:
        show(50)
        show(50, "by token")
    assert capsys.readouterr() == ("", "")


def test_whatever_takes_a_while_shows_how_far_it_is() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    shown = bytearray()

    def drain() -> None:
        try:
            while data := os.read(ours, 4096):
                shown.extend(data)
        except OSError:  # the last program that had the terminal open has closed it
            pass

    reader = threading.Thread(target=drain)
    reader.start()
    try:
        output, _ = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
        reader.join(TIMEOUT_S)
        os.close(ours)
    for title in (b"fill", b"token", b"reads and writes", b"compare"):
        assert title in shown, title
    assert b"\x1b" not in output
    assert output.count(b"identical") == 2
