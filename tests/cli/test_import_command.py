"""`odx-target import` on the command line: secrets from files, tables, and what is wrong."""

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from odx_target.cli.app import application
from odx_target.cli.imports import import_lun

ROW: dict[str, Any] = {
    "volume": "moved",
    "lun": 3,
    "source": "iscsi://old:3260/iqn.a:b/0",
    "state": "copying",
    "is_source_needed": True,
    "reason": "",
    "size_bytes": 4 << 30,
    "missing_bytes": 1 << 30,
    "verify": True,
    "verified_bytes": 0,
    "rate_limit_bytes_per_s": 64 << 20,
    "rate_bytes_per_s": 32 << 20,
    "remaining_s": 32.0,
    "unreadable": {"bytes": 0, "ranges": []},
    "different": {"bytes": 0, "ranges": []},
    "started": 1.0,
    "finished": None,
}


class Asked:
    """Stands for the array, and keeps the requests."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.requests: list[tuple[str, dict[str, object]]] = []

    def __call__(self, _pool: Path, operation: str, arguments: dict[str, object]) -> dict[str, Any]:
        self.requests.append((operation, arguments))
        return self.answer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = Asked(ROW)
    monkeypatch.setattr(import_lun, "ask_array", found)
    return found


def typed(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(application(["import"]), ["import", *words])
    assert result.exit_code == code, result.output
    return result.output


def test_secrets_come_from_files_and_are_not_printed(asked: Asked, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"secret {name}\n")
        (tmp_path / name).chmod(0o600)
    chap = ["--chap-user", "me", "--chap-secret-file", str(tmp_path / "one")]
    mutual = ["--target-chap-user", "it", "--target-chap-secret-file", str(tmp_path / "two")]
    output = typed("start", "pool", "iscsi://old/iqn.a:b/0", "moved", "--rate", "1M", *chap, *mutual)
    ((operation, given),) = asked.requests
    assert operation == "import-start"
    assert given == {
        "source": "iscsi://old:3260/iqn.a:b/0",
        "name": "moved",
        "user": "me",
        "secret": "secret one",
        "target_user": "it",
        "target_secret": "secret two",
        "rate": "1M",
        "verify": False,
    }
    assert "secret" not in output
    typed("start", "pool", "iscsi://you%hush@old/iqn.a:b/0", "moved")
    assert asked.requests[1][1]["source"] == "iscsi://old:3260/iqn.a:b/0"
    assert asked.requests[1][1]["secret"] == "hush"


def test_a_url_that_is_wrong_is_shown_without_its_secret(asked: Asked) -> None:
    output = typed("start", "pool", "iscsi://me%hush@old/iqn.a:b/x", "moved", code=2)
    assert "not a LUN" in output
    assert "hush" not in output
    assert not asked.requests


def test_progress_is_a_table(asked: Asked) -> None:
    asked.answer = {"imports": [ROW, {**ROW, "volume": None, "lun": None, "missing_bytes": None, "remaining_s": None}]}
    first, second = [line for line in typed("list", "pool").splitlines() if "copying" in line]
    assert first.split()[:4] == ["moved", "3", "copying", "75%"]
    assert "0:00:32" in first
    assert "32.0 MiB/s" in first
    assert second.split()[:4] == ["-", "-", "copying", "?"]


def test_what_is_wrong_has_lines_of_its_own(asked: Asked) -> None:
    bad = {"bytes": 8192, "ranges": [[4096, 8192]]}
    asked.answer = {
        "imports": [{**ROW, "state": "waiting", "reason": "old:3260: refused", "unreadable": bad, "different": bad}]
    }
    output = typed("list", "pool")
    assert "moved: old:3260: refused\n" in output
    assert "moved: 8192 bytes cannot be read by the old array (first byte + size: 4096+8192)\n" in output
    assert "moved: 8192 bytes differ from the old LUN" in output
    asked.answer = {"imports": [{**ROW, "state": "finishing"}]}
    assert "moved: the old array is not needed any more\n" in typed("list", "pool")


def test_changes_are_confirmed(asked: Asked) -> None:
    assert typed("rate", "pool", "moved", "64M") == "the limit of moved is 64.0 MiB/s\n"
    assert "compared" in typed("verify", "pool", "moved")
    assert "accepted" in typed("accept", "pool", "moved")
    assert "volume deleted" in typed("cancel", "pool", "moved")
    asked.answer = {**ROW, "state": "finished"}
    assert "forgotten" in typed("cancel", "pool", "moved")
    assert [operation for operation, _ in asked.requests] == [
        "import-rate",
        "import-verify",
        "import-accept",
        "import-cancel",
        "import-cancel",
    ]
