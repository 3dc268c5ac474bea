"""Fixtures that boot guests, and the table of results. Tests here are collected only if the command line names this folder."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.interop.conftest import Start
from tests.interop.guest import repeating
from tests.interop.guest.image import build
from tests.interop.guest.machine import SCRIPT_TIMEOUT_S, Ended, GuestError, Job, Machine
from tests.interop.guest.packages import CannotBuild
from tests.interop.guest.ways import WAYS, CannotBoot, boot, unusable
from tests.interop.serving import IQN, Served

HERE = Path(__file__).parent
CLEAN_TIMEOUT_S = 30

LUNS = ("first=64M", "second=64M", "third=64M,block=4096", "fourth=64M,block=4096")
START_LIO = ". /lib/lio.sh; lio 512 512 4096 4096\n"

DEBIAN_KERNEL = "qemu"
"""The kind of kernel of the ways that boot Debian's own kernel. User-mode Linux has no device handlers (CONFIG_SCSI_DH)."""

WAYS_WANTED = "GUEST"
"""Environment variable with ways of booting, separated by commas. `auto` is the first way that works, `all` every such way."""

CLEAN = (HERE / "files" / "clean.sh").read_text()

ROW = "guest scenario"
"""Name of the report property with the scenario and the way of booting."""

BOOT = "guest boot"
"""Name of the report property with the way of booting and the seconds that it took."""

FINDINGS = "guest findings"
"""Name of the report property with lines that are printed after the table of results."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore this folder unless the command line names it, because booting guests takes minutes."""
    return None if _is_demanded(config) or HERE not in collection_path.parents else True


def _is_demanded(config: pytest.Config) -> bool:
    named = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.args]
    return any(path == HERE or HERE in path.parents for path in named)


def pytest_configure(config: pytest.Config) -> None:
    if _is_demanded(config):
        # Found once, and passed in the environment to the processes that run the tests.
        os.environ[WAYS_WANTED] = ",".join(ways_of(os.environ.get(WAYS_WANTED, "auto")))
        config.pluginmanager.register(repeating)
    config.addinivalue_line("markers", "luns(*names): the LUNs of the server that a scenario's guest sees, as --lun has them")
    config.addinivalue_line(
        "markers",
        "debian_kernel: never runs in User-mode Linux, whose kernel lacks what the scenario needs",
    )
    config.addinivalue_line(
        "markers", "witnessed: runs against the kernel's own target too, so that what only our array passes shows"
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Report the ways of booting that are used, and the reason why each better way is not used."""
    if not _is_demanded(config):
        return []
    used = os.environ[WAYS_WANTED].split(",")
    passed_over = itertools.takewhile(lambda name: name not in used, WAYS)
    reasons = [f"not by {name}: {unusable(name) or 'not asked for'}" for name in passed_over]
    return [f"guests are booted by {', '.join(used)}", *reasons]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    ways = ways_of(os.environ[WAYS_WANTED])
    if metafunc.definition.get_closest_marker("debian_kernel") is not None:
        ways = ways_with_debian_kernel(ways)
    if "array" in metafunc.fixturenames:
        arrays = [(way, "ours") for way in ways]
        if metafunc.definition.get_closest_marker("witnessed") is not None:
            # One way is enough to check a scenario against LIO.
            arrays.append((ways[0], "LIO"))
        names = [f"{way}-{array}" for way, array in arrays]
        metafunc.parametrize(("way", "array"), arrays, ids=names, scope="session")
    elif "way" in metafunc.fixturenames:
        metafunc.parametrize("way", ways, scope="session")


def ways_with_debian_kernel(ways: Sequence[str]) -> list[str]:
    """Return those of the ways that boot Debian's own kernel. If there are none, return the way that works for every user."""
    return [way for way in ways if WAYS[way].kernel_kind == DEBIAN_KERNEL] or [list(WAYS)[-1]]


def ways_of(wanted: str) -> list[str]:
    """Names of the ways of booting that the value of WAYS_WANTED selects. Raises UsageError for an unknown name.

    If no way works, the result is the last way, so that its scenarios report the reason.
    """
    if wanted not in {"auto", "all"}:
        names = wanted.split(",")
        if strangers := [name for name in names if name not in WAYS]:
            raise pytest.UsageError(f"{WAYS_WANTED}: {', '.join(strangers)} is not auto, all, or some of {', '.join(WAYS)}")
        return names
    possible = (name for name in WAYS if not unusable(name))
    return list(itertools.islice(possible, 1 if wanted == "auto" else None)) or [list(WAYS)[-1]]


@dataclass
class Guest:
    """A guest for a scenario, with the server that it uses."""

    machine: Machine
    served: Served | None = None
    prelude: str = ""
    """Lines that are put before each script."""

    def run(self, script: str, *, timeout_s: float = SCRIPT_TIMEOUT_S, **variables: object) -> str:
        """Run a script and return its output; an exit status other than 0 fails the test. `variables` are set in the shell."""
        ended = self.attempt(script, timeout_s=timeout_s, **variables)
        assert ended.status == 0, f"exit status {ended.status}:\n{ended.output}\nthe console:\n{self.machine.console}"
        return ended.output

    def attempt(self, script: str, *, timeout_s: float = SCRIPT_TIMEOUT_S, **variables: object) -> Ended:
        return self.start(script, **variables).wait(timeout_s)

    def start(self, script: str, **variables: object) -> Job:
        """Start a script in the background."""
        where = {"target": IQN, "portal": self.served.portal} if self.served is not None else {}
        return self.machine.start(self.prelude + script, {**where, **{name: str(value) for name, value in variables.items()}})

    @property
    def share(self) -> Path:
        """Folder of the host that is /share in the guest."""
        return self.machine.share


class Pool:
    """Running guests by way and name. The next scenario uses a guest again if it can be cleaned."""

    def __init__(self) -> None:
        self._machines: dict[tuple[str, str, tuple[str, ...]], Machine] = {}
        self._failed: dict[tuple[str, tuple[str, ...]], Exception] = {}

    def get(self, way: str, name: str, extras: tuple[str, ...], *, on_boot: Callable[[Machine], None]) -> Machine:
        key = (way, name, extras)
        if key not in self._machines:
            self.close_others(way)
            self._machines[key] = self._boot(way, name, extras)
            on_boot(self._machines[key])
        return self._machines[key]

    def _boot(self, way: str, name: str, extras: tuple[str, ...]) -> Machine:
        """Boot a guest. A failed boot is not tried again, because it may take a minute."""
        if (way, extras) in self._failed:
            raise self._failed[way, extras]
        try:
            return boot(way, name, extras)
        except (CannotBoot, GuestError) as error:
            self._failed[way, extras] = error
            raise

    def clean(self, machine: Machine) -> None:
        """Clean a guest for the next scenario, or end it if that fails."""
        try:
            if machine.is_running and machine.start(CLEAN).wait(CLEAN_TIMEOUT_S).status == 0:
                return
        except GuestError:
            pass
        self._end(machine)

    def close_others(self, way: str) -> None:
        for key, machine in list(self._machines.items()):
            if key[0] != way:
                self._end(machine)

    def close(self) -> None:
        for machine in list(self._machines.values()):
            self._end(machine)

    def _end(self, machine: Machine) -> None:
        self._machines = {key: other for key, other in self._machines.items() if other is not machine}
        machine.close()


@pytest.fixture(scope="session")
def machines() -> Iterator[Pool]:
    pool = Pool()
    try:
        yield pool
    finally:
        pool.close()


Boot = Callable[..., Guest]
BootMachine = Callable[[str], Machine]


@pytest.fixture
def boot_guest(machines: Pool, way: str, start: Start, request: pytest.FixtureRequest) -> Iterator[Boot]:
    """Boots a guest by `boot_guest(served, name="one")`. It is cleaned after the test, before the server ends."""

    def note(machine: Machine) -> None:
        request.node.user_properties.append((BOOT, [way, machine.seconds_to_ready]))

    with ExitStack() as used:

        def get(served: Served | None = None, *, name: str = "one", extras: tuple[str, ...] = ()) -> Guest:
            try:
                machine = machines.get(way, name, extras, on_boot=note)
            except CannotBoot as error:
                _cannot(str(error))
            used.callback(machines.clean, machine)
            return Guest(machine, served)

        yield get


@pytest.fixture
def boot_machine(way: str) -> BootMachine:
    """Boots a guest that no other test uses, by `with boot_machine("name") as machine`."""

    def get(name: str) -> Machine:
        try:
            return boot(way, name)
        except CannotBoot as error:
            _cannot(str(error))

    return get


@pytest.fixture
def usable_way(way: str) -> str:
    """The way of booting, for tests that boot guests themselves. Skips the test if the way does not work."""
    if reason := unusable(way):
        _cannot(f"{way} {reason}")
    try:
        build(WAYS[way].kernel_kind)
    except CannotBuild as error:
        _cannot(str(error))
    return way


def _cannot(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def guest(boot_guest: Boot, start: Start, array: str, request: pytest.FixtureRequest) -> Guest:
    """A guest, and an array with the LUNs of `pytest.mark.luns`."""
    if array == "LIO":
        witness = boot_guest(name="witness")
        witness.prelude = START_LIO
        return witness
    mark = request.node.get_closest_marker("luns")
    return boot_guest(start(mark.args if mark is not None else LUNS))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Add the name of the scenario to its reports, which are sent from one process to another."""
    callspec = getattr(item, "callspec", None)
    if callspec is not None and "way" in callspec.params:
        name = f"{item.path.stem.removeprefix('test_')}: {item.name.split('[')[0].removeprefix('test_').replace('_', ' ')}"
        others = [str(value) for key, value in callspec.params.items() if key != "way" and value != "ours"]
        item.user_properties.append((ROW, [" ".join([name, *others]), callspec.params["way"]]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for kind in ("passed", "failed", "error", "skipped") for report in terminalreporter.stats.get(kind, [])]
    rows = sorted(row for report in reports for row in _rows(report))
    if not rows:
        return
    width = max(len(name) for _, name, _, _ in rows)
    terminalreporter.section("scenarios")
    terminalreporter.write_line(f"{'scenario':{width}}  booted by  seconds  result")
    for way, name, seconds, outcome in rows:
        terminalreporter.write_line(f"{name:{width}}  {way:9}  {seconds:7.1f}  {outcome}")
    for way in dict.fromkeys(row[0] for row in rows):
        boots = [seconds for report in reports for name, seconds in _properties(report, BOOT) if name == way]
        said = f"{len(boots)} boots of {sum(boots) / len(boots):.1f} s" if boots else unusable(way) or "no boot"
        ran = [row for row in rows if row[0] == way]
        terminalreporter.write_line(f"{way}: {len(ran)} scenarios in {sum(row[2] for row in ran):.0f} s, {said}")
    for line in (
        line for report in reports if report.when == "call" for lines in _properties(report, FINDINGS) for line in lines
    ):
        terminalreporter.write_line(line)


def _rows(report: pytest.TestReport) -> Iterator[tuple[str, str, float, str]]:
    """Yield (way of booting, scenario, seconds, result) for each row of the table."""
    if report.when == "call" or report.outcome != "passed":
        for name, way in _properties(report, ROW):
            yield way, name, report.duration, report.outcome


def _properties(report: pytest.TestReport, name: str) -> Iterator[Any]:
    # The report of a step also has the properties of earlier steps.
    return (value for key, value in report.user_properties if key == name)
