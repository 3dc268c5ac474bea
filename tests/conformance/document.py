"""docs/conformance.md: the verdicts of all checks for the array, tgt and LIO side by side.

`python -m tests.conformance.document` runs the checks against the targets that can be started, records their verdicts, and
writes the page. The verdicts are kept in JSON files, so that the page can be made again without the targets.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypedDict

from bench.tgt import CONTROL_PORTS, tgt_process
from bench.tgt import _admin as tgtadm

from odx_target.conformance.catalogue import CHECKS
from odx_target.conformance.check import Check, Verdict
from tests.interop.guest.conftest import START_LIO
from tests.interop.guest.ways import CannotBoot, boot, unusable
from tests.interop.serving import IQN, serve

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "conformance.md"
FOLDER = ROOT / "docs" / "conformance"
RUN_TIMEOUT_S = 600
SCRIPT_TIMEOUT_S = 60
LUN_BYTES = 64 << 20
ASYMMETRIC_ACCESS = 'asymmetric-access = "both"\n[[target-port-group]]\nnumber = 1\n'
"""Settings with which hosts can change the state of the only target port group of our array."""

AREAS = {
    "iscsi": "iSCSI: login, text, commands, data and task management",
    "primary": "Primary commands (SPC)",
    "alua": "Asymmetric logical unit access (SPC)",
    "block": "Block commands (SBC)",
    "token": "Token copy, as Windows and `ddpt` use it",
    "xcopy": "EXTENDED COPY",
    "reserve": "Persistent reservations",
}
HEAD = """# Conformance of targets

`odx-target conformance URL [URL2]` checks the behaviour of any iSCSI target. `make conformance` makes this page by running the
checks against three targets. Each check is one rule of a standard. A check has one of these verdicts:

| verdict | meaning |
|---|---|
| pass | the target follows the rule |
| **fail** | the target breaks the rule; the reason is below the table |
| skip | the rule does not apply, because the target does not support an optional command or feature |
| not run | the check was not asked for: it is destructive, or needs a second LUN |

Without `--destructive`, only checks run that neither overwrite data, nor reserve or reset a LUN. `--only token.write` runs
only the checks whose names begin with these words. `--junit FILE` and `--json FILE` write the results for other programs. After
a failure, the output has the bytes of the commands and PDUs that the check has sent and received. These bytes may contain ROD
tokens, which are secrets until they expire. A LUN under test needs at least 8,192 blocks. If other hosts have registered for
persistent reservations of the LUN, the checks of reservations are skipped.

A test of another project can run the checks too:

    from odx_target.conformance.catalogue import CHECKS
    from odx_target.conformance.check import Need, Verdict
    from odx_target.conformance.runner import run_checks, selected
    from odx_target.conformance.wire import WireEquipment
    from odx_target.initiator.session.options import SessionOptions
    from odx_target.initiator.url import parse_url

    async def test_token_copy() -> None:
        url = parse_url("iscsi://127.0.0.1:3260/iqn.2026-11.example:target/0")
        equipment = WireEquipment(url, None, SessionOptions(bytes(6)), os.urandom)
        given = Need.PORTAL | Need.DESTRUCTIVE
        results = await run_checks(selected(CHECKS, ["token"]), equipment, given=given, report=print)
        assert not [result for result in results if result.verdict is Verdict.FAIL]

"""


class Recorded(TypedDict):
    """The verdicts of one target. `verdicts` maps the identifier of each check to its verdict and the reason."""

    name: str
    verdicts: dict[str, tuple[str, str]]


def recorded() -> list[Recorded]:
    """Return the recorded verdicts, in the order of the columns."""
    return [json.loads((FOLDER / f"{name}.json").read_text()) for name in TARGETS if (FOLDER / f"{name}.json").exists()]


def page(targets: list[Recorded]) -> str:
    """Return the text of the whole page."""
    parts = [HEAD, _summary(targets)]
    for area, title in AREAS.items():
        checks = [check for check in CHECKS if check.area == area]
        parts.append(f"\n## {title}\n\n{_table(checks, targets)}")
        parts += [reasons for target in targets if (reasons := _reasons(checks, target))]
    return "".join(parts)


def _summary(targets: list[Recorded]) -> str:
    lines = [f"| area | checks | {' | '.join(target['name'] for target in targets)} |", "|---|---|" + "---|" * len(targets)]
    for area, title in AREAS.items():
        checks = [check.identifier for check in CHECKS if check.area == area]
        cells = [_counts([_verdict(target, name) for name in checks]) for target in targets]
        lines.append(f"| {title} | {len(checks)} | {' | '.join(cells)} |")
    cells = [_counts([_verdict(target, check.identifier) for check in CHECKS]) for target in targets]
    return "\n".join([*lines, f"| all | {len(CHECKS)} | {' | '.join(cells)} |"]) + "\n"


def _counts(verdicts: list[str]) -> str:
    counts = Counter(verdicts)
    return ", ".join(f"{counts[verdict.value]} {verdict.value}" for verdict in Verdict if counts[verdict.value]) or "-"


def _table(checks: list[Check], targets: list[Recorded]) -> str:
    lines = [
        f"| check | clause | rule | {' | '.join(target['name'] for target in targets)} |",
        "|---|---|---|" + "---|" * len(targets),
    ]
    for check in checks:
        cells = " | ".join(_cell(_verdict(target, check.identifier)) for target in targets)
        lines.append(f"| `{check.identifier}` | {check.clause} | {check.title} | {cells} |")
    return "\n".join(lines) + "\n"


def _cell(verdict: str) -> str:
    return f"**{verdict}**" if verdict == Verdict.FAIL.value else verdict


def _verdict(target: Recorded, identifier: str) -> str:
    return target["verdicts"].get(identifier, ("-", ""))[0]


def _reasons(checks: list[Check], target: Recorded) -> str:
    """Return the failures of a target as a list; "" if it has none."""
    failed = [check for check in checks if _verdict(target, check.identifier) == Verdict.FAIL.value]
    lines = [f"- `{check.identifier}`: {target['verdicts'][check.identifier][1]}" for check in failed]
    return "\n".join([f"\n{target['name']} fails:\n", *lines]) + "\n" if failed else ""


Urls = tuple[str, str, str]
"""The name and version of a target, and the URLs of two of its LUNs."""


@contextmanager
def our_array() -> Iterator[Urls]:
    """Serve a new pool of this project."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "array.toml"
        config.write_text(ASYMMETRIC_ACCESS)
        served = serve(None, ("a=256M", "b=256M"), log_path=Path(folder) / "log", options=("--config", str(config)))
        try:
            yield "odx-target", served.url(0), served.url(1)
        finally:
            served.stop()


@contextmanager
def debians_tgt() -> Iterator[Urls]:
    """Serve two files by tgt. Raises OSError if tgt does not start."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("first", "second")]
        files[1].touch()
        os.truncate(files[1], LUN_BYTES)
        with tgt_process(files[0], LUN_BYTES, digests=True) as (url, _):
            control = str(1000 + os.getpid() % CONTROL_PORTS)
            words = ["--mode", "logicalunit", "--op", "new", "--tid", "1", "--lun", "2", "--backing-store", str(files[1])]
            tgtadm(control, *words)
            version = subprocess.run(["tgtd", "--version"], capture_output=True, text=True, check=True).stdout
            yield f"tgt {version.split()[-1]}", url, f"{url[:-1]}2"


@contextmanager
def lio_in_a_guest() -> Iterator[Urls]:
    """Serve two LUNs by the kernel of a Linux guest that the host can reach. Raises OSError if no guest can be booted."""
    if reason := unusable("uml"):
        raise OSError(f"no guest: {reason}")
    try:
        machine = boot("uml", "conformance")
    except CannotBoot as error:
        raise OSError(str(error)) from error
    with machine:
        ended = machine.start(f"{START_LIO}echo $portal $target $(uname -r)").wait(SCRIPT_TIMEOUT_S)
        portal, target, release = ended.output.split()[-3:]
        yield f"LIO {release}", f"iscsi://{portal}/{target}/0", f"iscsi://{portal}/{target}/1"


TARGETS: dict[str, Callable[[], AbstractContextManager[Urls]]] = {
    "odx-target": our_array,
    "tgt": debians_tgt,
    "lio": lio_in_a_guest,
}


def run(name: str) -> Recorded:
    """Run all checks against a target, and return its verdicts. Raises OSError if the target cannot be started."""
    with TARGETS[name]() as (title, first, second), tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.json"
        words = [sys.executable, "-m", "odx_target", "conformance", first, second, "--destructive", "--json", str(results)]
        subprocess.run(words, stdout=subprocess.DEVNULL, timeout=RUN_TIMEOUT_S, check=False)
        rows = json.loads(results.read_text())["results"]
    return {"name": title, "verdicts": {row["identifier"]: (row["verdict"], row["reason"].replace(IQN, "IQN")) for row in rows}}


def record(name: str) -> None:
    """Run all checks against a target, and write its verdicts."""
    found = run(name)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


def differences(name: str) -> list[str]:
    """Run all checks against a target, and list the verdicts that are not those of the page."""
    old, new = json.loads((FOLDER / f"{name}.json").read_text())["verdicts"], run(name)["verdicts"]
    return [f"{check}: {new.get(check)}, not {old[check]}" for check in old if new.get(check, [""])[0] != old[check][0]]


def main(names: list[str]) -> None:
    for name in names or TARGETS:
        try:
            record(name)
        except OSError as error:
            sys.stderr.write(f"{name} keeps its old verdicts: {error}\n")
    PAGE.write_text(page(recorded()), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
