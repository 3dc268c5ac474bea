"""Run the tests, note the outcomes of their commands, and write the file of outcomes and the page.

With arguments, such as `python -m tests.command_coverage tests/scsi/test_sense.py`, only these tests run, and the outcomes of
all other tests stay.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.command_coverage.document import PATH as PAGE
from tests.command_coverage.document import document
from tests.command_coverage.outcomes import FOLDERS, PATH, Outcome, merged, read, text_of
from tests.command_coverage.recorder import RECORD

PROCESSES = "3"


def main(chosen: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", *(chosen or FOLDERS), "-q", "-n", PROCESSES]
        ended = subprocess.run(command, env={**os.environ, RECORD: folder})
        if ended.returncode:
            return ended.returncode
        lines = [line.split("\t") for file in Path(folder).iterdir() for line in file.read_text(encoding="utf-8").splitlines()]
    ran = {test for _, _, test in lines}
    before = {outcome: test for outcome, test in read().items() if chosen or test in ran}
    recorded = merged(((Outcome(command, result), test) for command, result, test in lines), before)
    PATH.write_text(text_of(recorded), encoding="utf-8")
    PAGE.write_text(document(recorded), encoding="utf-8")
    sys.stdout.write(f"{PAGE}: {len(recorded)} outcomes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
