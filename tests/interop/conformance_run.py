"""Runs tests of libiscsi's conformance suite, each in a process of its own with a time limit, because some can hang.

`python -m tests.interop.conformance_run` (`make conformance`) runs all of them and prints a table. With `--program PATH`, it
runs those of the newest source, whose `iscsi-test-cu` is at the absolute PATH.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.interop import conformance_table, forked, newest_conformance_table
from tests.interop.conformance_table import MIN_PASSED, READ_ONLY_LUN, SLOW_FLUSHES, Verdict
from tests.interop.programs import attempt
from tests.interop.serving import IQN, Served, serve

SERVED_LUNS = ("first=64M", "second=64M", "third=64M,block=4096", "fourth=64M,block=4096", "huge=1024T")
CHAP_SECRET = "secret-of-a-user"
SLOW = "slow"
"""Name of the fault that makes flushes slow."""
TEST_TIMEOUT_S = 150
"""Time limit of a test, so long that only a hanging test reaches it. One test sleeps for 64 seconds."""
SUMMARY = re.compile(r"^\s*tests\s+(?P<total>\d+)\s+(?P<ran>\d+)\s+(?P<passed>\d+)\s+(?P<failed>\d+)", re.MULTILINE)


class Suite(NamedTuple):
    """A version of the suite: its program, and its tables of tests (see `conformance_table`)."""

    program: str
    tests: Mapping[str, Verdict]
    luns: Mapping[str, tuple[int, str]]
    together: Mapping[str, tuple[str, int]]
    accepted: Mapping[str, tuple[Verdict, str]]
    chap_users: Mapping[str, str]


INSTALLED = Suite(
    "iscsi-test-cu",
    conformance_table.TESTS,
    conformance_table.LUNS,
    conformance_table.TOGETHER,
    conformance_table.ACCEPTED,
    {},
)


def newest(program: str) -> Suite:
    """Return the suite of the newest source. `program` is the path of its `iscsi-test-cu`."""
    table = newest_conformance_table
    return Suite(program, table.TESTS, table.LUNS, table.TOGETHER, table.ACCEPTED, table.CHAP_USERS)


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Start a server for the tests. One of its LUNs is read-only."""
    served = serve(folder / "pool", SERVED_LUNS, log_path=folder / "serve.log")
    try:
        name = SERVED_LUNS[READ_ONLY_LUN].partition("=")[0]
        forked.run("volume", "read-only", folder / "pool", name, "on").check_returncode()
        yield served
    finally:
        served.kill()


@contextmanager
def serving_with_chap(folder: Path, suite: Suite) -> Iterator[Served]:
    """Start a server at which the initiators of the tests with CHAP must log in."""
    config = folder / "chap.toml"
    users = dict.fromkeys(suite.chap_users.values())
    config.write_text("".join(f'[[chap]]\nuser = "{user}"\nsecret = "{CHAP_SECRET}"\n' for user in users))
    config.chmod(0o600)
    served = serve(folder / "chap", SERVED_LUNS[:1], log_path=folder / "chap.log", options=("--config", str(config)))
    try:
        yield served
    finally:
        served.kill()


@contextmanager
def slow_flushes(served: Served) -> Iterator[None]:
    """Delay each flush of the pool while the body runs."""
    pool = served.log_path.parent / "pool"
    forked.run("fault", "add", pool, "--name", SLOW, "store=flush", "delay=3s").check_returncode()
    try:
        yield
    finally:
        forked.run("fault", "remove", pool, SLOW).check_returncode()


def judge(served: Served, name: str, suite: Suite = INSTALLED) -> tuple[Verdict, str]:
    """Run one test, and return its verdict and its output. A test counts as skipped if it reports that any of its parts was
    skipped.
    """
    if name in SLOW_FLUSHES:
        with slow_flushes(served):
            return _judge(served, name, suite)
    return _judge(served, name, suite)


def _judge(served: Served, name: str, suite: Suite) -> tuple[Verdict, str]:
    lun, _ = suite.luns.get(name, (0, ""))
    user = suite.chap_users.get(name)
    url = served.url(lun) if user is None else f"iscsi://{user}%{CHAP_SECRET}@{served.portal}/{IQN}/{lun}"
    paths = [url] * (2 if ".MultipathIO." in name else 1)
    run, count = suite.together.get(name, (name, 1))
    try:
        ended = attempt(suite.program, "--dataloss", "--allow-sanitize", "--test", run, *paths, timeout_s=TEST_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        return Verdict.HUNG, str(error.output)
    summary = SUMMARY.search(ended.stdout)
    if summary is None or summary["ran"] != str(count) or summary["failed"] != "0":
        return Verdict.FAILED, ended.stdout
    skipped = "[SKIPPED]" in ended.stdout
    return (Verdict.SKIPPED if skipped else Verdict.PASSED), ended.stdout


def notes_of(name: str, suite: Suite = INSTALLED) -> str:
    """Return the reasons in the tables for the way in which a test runs, and for its verdict."""
    notes = [f"LUN {suite.luns[name][0]}: {suite.luns[name][1]}"] if name in suite.luns else []
    notes += [f"slow flushes: {SLOW_FLUSHES[name]}"] if name in SLOW_FLUSHES else []
    notes += [f"run with {suite.together[name][0]}"] if name in suite.together else []
    notes += [f"CHAP user {suite.chap_users[name]}"] if name in suite.chap_users else []
    notes += [suite.accepted[name][1]] if name in suite.accepted else []
    return "; ".join(notes)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", help="iscsi-test-cu of the newest source; without it, the installed suite is run")
    program = parser.parse_args().program
    suite = INSTALLED if program is None else newest(program)
    found: Counter[Verdict] = Counter()
    unexpected = []
    with (
        tempfile.TemporaryDirectory() as text,
        serving(Path(text)) as open_to_all,
        serving_with_chap(Path(text), suite) as chap,
    ):
        for name, expected in suite.tests.items():
            verdict, _ = judge(chap if name in suite.chap_users else open_to_all, name, suite)
            found[verdict] += 1
            unexpected += [name] if verdict is not expected else []
            surprise = f" (expected: {expected.value})" if verdict is not expected else ""
            _say(f"{name:<45} {verdict.value:<8}{surprise} {notes_of(name, suite)}".rstrip())
    _say(f"{', '.join(f'{found[verdict]} {verdict.value}' for verdict in Verdict)} of {len(suite.tests)}")
    if unexpected:
        _say(f"not as expected: {' '.join(unexpected)}")
    return 1 if unexpected or found[Verdict.PASSED] < MIN_PASSED else 0


if __name__ == "__main__":
    sys.exit(main())
