"""Tests of CHAP by libiscsi, QEMU's driver and our own commands, against a server with secret files."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop import forked
from tests.interop.programs import attempt, run
from tests.interop.serving import IQN, Served, serve

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-chap")]

USER, SECRET = "host", "secret-of-host"
TARGET_USER, TARGET_SECRET = "array", "secret-of-array"
REFUSED = "Authentication failure"
COMMAND_TIMEOUT_S = 60


@pytest.fixture(scope="module")
def served(module_path: Path) -> Iterator[Served]:
    for name, secret in (("host", SECRET), ("own", TARGET_SECRET)):
        (module_path / name).write_text(f"{secret}\n")
        (module_path / name).chmod(0o600)
    words = ["--chap-user", USER, "--chap-secret-file", str(module_path / "host")]
    words += ["--target-chap-user", TARGET_USER, "--target-chap-secret-file", str(module_path / "own")]
    words += ["--trace", str(module_path / "trace")]
    served = serve(module_path / "pool", ("a=8M", "b=8M"), log_path=module_path / "serve.log", options=words)
    try:
        yield served
        served.stop()  # The threads that write the trace and the log end with the server.
    finally:
        served.kill()
    # No test of this module may leave a secret or a response in any file.
    told = served.log + (module_path / "trace").read_text()
    assert "CHAP_R=(34 characters)" in told
    for unwanted in (SECRET, TARGET_SECRET, "CHAP_R=0", "CHAP_C=0", "Traceback"):
        assert unwanted not in told


def url(served: Served, lun: int | None = None, *, secret: str = SECRET, target_secret: str = "") -> str:
    place = served.url(lun).removeprefix("iscsi://")
    mutual = f"?target_user={TARGET_USER}&target_password={target_secret}" if target_secret else ""
    return f"iscsi://{USER}%{secret}@{place}{mutual}"


def test_iscsi_ls_discovers_and_lists_with_the_secret(served: Served) -> None:
    printed = run("iscsi-ls", "-s", url(served))
    assert f"Target:{IQN}" in printed
    assert printed.count("DIRECT_ACCESS") == 2


@pytest.mark.parametrize("secret", ["", "secret-of-nobody", TARGET_SECRET])
def test_iscsi_ls_is_refused_without_it(served: Served, secret: str) -> None:
    ended = attempt("iscsi-ls", "-s", url(served, secret=secret) if secret else served.url())
    assert ended.returncode
    assert REFUSED in ended.stdout
    assert IQN not in ended.stdout


def test_iscsi_inq_believes_the_target(served: Served) -> None:
    assert "Peripheral Device Type:DIRECT_ACCESS" in run("iscsi-inq", url(served, 0, target_secret=TARGET_SECRET))


def test_iscsi_inq_does_not_believe_a_target_with_another_secret(served: Served) -> None:
    ended = attempt("iscsi-inq", url(served, 0, target_secret="secret-of-another"))
    assert "Invalid CHAP_R response from the target" in ended.stdout
    assert "DIRECT_ACCESS" not in ended.stdout


def test_qemu_img_copies_with_the_secret_and_is_refused_without(served: Served, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(os.urandom(1 << 20) + bytes(7 << 20))
    run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, url(served, 0))
    run("qemu-img", "compare", "-f", "raw", "-F", "raw", image, url(served, 0))
    ended = attempt("qemu-img", "compare", "-f", "raw", "-F", "raw", image, url(served, 0, secret="secret-of-nobody"))
    assert ended.returncode
    assert REFUSED in ended.stdout


def ours(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    ended = forked.run(*words, environment={**os.environ, **variables}, timeout_s=COMMAND_TIMEOUT_S)
    assert "secret-of" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def test_our_commands_take_urls_with_secrets(served: Served, tmp_path: Path) -> None:
    token = tmp_path / "token"
    mutual = [url(served, lun, target_secret=TARGET_SECRET) for lun in (0, 1)]
    for words in (
        ("copy", url(served, 0), url(served, 1)),
        ("copy", *mutual),
        ("token", "populate", mutual[0], "--range", "0,64", "--token-file", token),
        ("windows-copy", *mutual, "--file-size", "1M"),
        ("esxi-copy", *mutual, "--disk-size", "1M"),
    ):
        ended = ours(*words)
        assert ended.returncode == 0, (words[0], ended.stdout + ended.stderr)


@pytest.mark.parametrize(
    ("secret", "target_secret", "words"),
    [
        ("secret-of-nobody", "", "authentication failure (02h/01h)"),
        (SECRET, "secret-of-another", "the target proved itself wrongly"),
    ],
)
def test_our_commands_say_in_one_line_why_not(served: Served, secret: str, target_secret: str, words: str) -> None:
    places = [url(served, lun, secret=secret, target_secret=target_secret) for lun in (0, 1)]
    ended = ours("copy", *places)
    assert ended.returncode == 1
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


VARIABLES = {
    "LIBISCSI_CHAP_USERNAME": USER,
    "LIBISCSI_CHAP_PASSWORD": SECRET,
    "LIBISCSI_CHAP_TARGET_USERNAME": TARGET_USER,
    "LIBISCSI_CHAP_TARGET_PASSWORD": TARGET_SECRET,
}


def commands(served: Served) -> list[tuple[str, ...]]:
    return [
        ("copy", served.url(0), served.url(1)),
        ("token", "populate", served.url(0), "--range", "0,64"),
        ("windows-copy", served.url(0), served.url(1), "--file-size", "1M"),
        ("esxi-copy", served.url(0), served.url(1), "--disk-size", "1M"),
    ]


def test_iscsi_inq_and_our_commands_take_secrets_from_the_same_variables(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    assert "Peripheral Device Type:DIRECT_ACCESS" in run("iscsi-inq", served.url(0))
    for words in commands(served):
        ended = ours(*words)
        assert ended.returncode == 0, (words[0], ended.stdout + ended.stderr)
    wrong = ours("copy", served.url(0), served.url(1), LIBISCSI_CHAP_TARGET_PASSWORD="secret-of-another")
    assert (wrong.returncode, "the target proved itself wrongly" in wrong.stderr) == (1, True)


def test_our_commands_take_secrets_from_files(served: Served, tmp_path: Path) -> None:
    files = {"own": SECRET, "target": TARGET_SECRET}
    for name, secret in files.items():
        (tmp_path / name).write_text(secret)
        (tmp_path / name).chmod(0o600)
    options = ("--chap-user", USER, "--chap-secret-file", tmp_path / "own")
    mutual = ("--target-chap-user", TARGET_USER, "--target-chap-secret-file", tmp_path / "target")
    for words in commands(served):
        ended = ours(*words, *options, *mutual)
        assert ended.returncode == 0, (words[0], ended.stdout + ended.stderr)
    assert ours(*commands(served)[0]).returncode == 1
