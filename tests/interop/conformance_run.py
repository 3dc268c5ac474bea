"""Runs tests of libiscsi's conformance suite, each in a process of its own with a time limit, because some can hang.

`python -m tests.interop.conformance_run` (`make conformance`) runs all of them and prints a table.
"""

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.interop.conformance_table import ACCEPTED, LUNS, MIN_PASSED, READ_ONLY_LUN, TESTS, TOGETHER, Verdict
from tests.interop.programs import attempt
from tests.interop.serving import Served, serve

SERVED_LUNS = ("first=64M", "second=64M", "third=64M,block=4096", "fourth=64M,block=4096", "huge=256T")
TEST_TIMEOUT_S = 150
"""Time limit of a test, so long that only a hanging test reaches it. One test sleeps for 64 seconds."""
SUMMARY = re.compile(r"^\s*tests\s+(?P<total>\d+)\s+(?P<ran>\d+)\s+(?P<passed>\d+)\s+(?P<failed>\d+)", re.MULTILINE)


@contextmanager
def serving(folder: Path) -> Iterator[Served]:
    """Start a server for the tests. One of its LUNs is read-only."""
    served = serve(folder / "pool", SERVED_LUNS, log_path=folder / "serve.log")
    try:
        name = SERVED_LUNS[READ_ONLY_LUN].partition("=")[0]
        command = [sys.executable, "-m", "odx_target.cli.main", "volume", "read-only", str(folder / "pool"), name, "on"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield served
    finally:
        served.kill()


def judge(served: Served, name: str) -> tuple[Verdict, str]:
    """Run one test, and return its verdict and its output. A test counts as skipped if it reports that any of its parts was
    skipped.
    """
    lun, _ = LUNS.get(name, (0, ""))
    paths = [served.url(lun)] * (2 if ".MultipathIO." in name else 1)
    run, count = TOGETHER.get(name, (name, 1))
    try:
        ended = attempt("iscsi-test-cu", "--dataloss", "--allow-sanitize", "--test", run, *paths, timeout_s=TEST_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        return Verdict.HUNG, str(error.output)
    summary = SUMMARY.search(ended.stdout)
    if summary is None or summary["ran"] != str(count) or summary["failed"] != "0":
        return Verdict.FAILED, ended.stdout
    skipped = "[SKIPPED]" in ended.stdout
    return (Verdict.SKIPPED if skipped else Verdict.PASSED), ended.stdout


def notes_of(name: str) -> str:
    """Return the reasons in the table for the way in which a test runs, and for its verdict."""
    notes = [f"LUN {LUNS[name][0]}: {LUNS[name][1]}"] if name in LUNS else []
    notes += [f"run with {TOGETHER[name][0]}"] if name in TOGETHER else []
    notes += [ACCEPTED[name][1]] if name in ACCEPTED else []
    return "; ".join(notes)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    found: Counter[Verdict] = Counter()
    unexpected = []
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as served:
        for name, expected in TESTS.items():
            verdict, _ = judge(served, name)
            found[verdict] += 1
            unexpected += [name] if verdict is not expected else []
            surprise = f" (expected: {expected.value})" if verdict is not expected else ""
            _say(f"{name:<45} {verdict.value:<8}{surprise} {notes_of(name)}".rstrip())
    _say(f"{', '.join(f'{found[verdict]} {verdict.value}' for verdict in Verdict)} of {len(TESTS)}")
    if unexpected:
        _say(f"not as expected: {' '.join(unexpected)}")
    return 1 if unexpected or found[Verdict.PASSED] < MIN_PASSED else 0


if __name__ == "__main__":
    sys.exit(main())
