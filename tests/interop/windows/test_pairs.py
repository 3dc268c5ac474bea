"""Tests the other half of every rule: if a scripted target makes Windows give up at a step, this array must pass that step.

The rows are those of the scripted targets, so that a rule without a run is detected.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from odx_target.initiator.url import IscsiUrl
from odx_target.initiator.windows.copying.copy_engine import Metadata
from odx_target.initiator.windows.copying.offload_read import Token, offload_read
from odx_target.initiator.windows.copying.offload_write import OffloadWrite
from odx_target.initiator.windows.journal import Entry, Exchange, LoginStep, Management
from odx_target.initiator.windows.rules import Finding, Rule
from odx_target.initiator.windows.session.connection import WindowsConnection
from odx_target.initiator.windows.settings import WindowsSettings
from odx_target.target.config.chap import ChapUser, TargetChap
from odx_target.target.config.settings import Config, LunConfig
from tests.initiator.windows.bench import extents, step_name
from tests.initiator.windows.scripted import MIB
from tests.initiator.windows.test_every_rule import DECLINED
from tests.interop.windows.against import Against, against, config
from tests.target.running import remote_portal, running

Run = Callable[[Callable[[Entry], None]], Awaitable[None]]

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("interop-windows-pairs")]


@dataclass
class Observation:
    """The rules that a run broke, and the steps that it passed, named as in the tables."""

    rules: set[Rule] = field(default_factory=set)
    steps: set[str] = field(default_factory=set)

    def see(self, entry: Entry) -> None:
        if isinstance(entry, Finding):
            self.rules.add(entry.rule)
        elif isinstance(entry, Exchange) and entry.result is not None and not entry.result.status:
            self.steps.add(step_name(entry.cdb))
        elif isinstance(entry, Management):
            self.steps.add(entry.what.partition(":")[0])
        elif isinstance(entry, LoginStep) and "request" not in entry.what:
            self.steps |= {step for step, key in LOGIN_STEPS if key in dict(entry.pairs)}


LOGIN_STEPS = (
    # step of a table: key of the response that passes it
    ("before the login", "AuthMethod"),
    ("LoginRequest", "AuthMethod"),
    ("TextRequest", "TargetAddress"),
    ("security", "AuthMethod"),
    ("operational", "HeaderDigest"),
    ("1", "AuthMethod"),
    ("2", "CHAP_C"),
    ("3", "CHAP_R"),
)


@contextmanager
def watching(observation: Observation, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Note every PDU that is accepted as a passed step."""
    take = WindowsConnection._take

    def watched(self: WindowsConnection, pdu: Any, data: memoryview) -> None:
        take(self, pdu, data)
        observation.steps.add(type(pdu).__name__)

    with monkeypatch.context() as patch:
        patch.setattr(WindowsConnection, "_take", watched)
        yield


async def copies(host: Against) -> None:
    """Copy the smallest file for tokens twice, with the longest lifetime. Then copy a file of many extents, and write zeros."""
    small = [extents(512, (lba, 256 << 10)) for lba in (0x100000, 0x900000)]
    many = [extents(512, *((lba + 64 * number, 8192) for number in range(70))) for lba in (0x200000, 0xA00000)]
    for layouts in (small, small, many):
        assert (await host.copy(layouts=layouts)).stop is None
    copy = host.file_copy(*small)
    copy.source, copy.metadata = None, Metadata(0x800000, bytes(4096))
    assert (await copy.run()).stop is None
    await host.disks[1].write(0, bytes(262_144))
    await host.disks[0].read(0, 512)


async def plain(observe: Callable[[Entry], None]) -> None:
    async with running(config()) as array, against(array, WindowsSettings(token_lifetime_s=3600), tell=observe) as host:
        await copies(host)


async def with_digests(observe: Callable[[Entry], None]) -> None:
    async with running(config()) as array, against(array, tell=observe, digests=True) as host:
        await copies(host)
        assert host.lives[0].session.parameters.data_digest == "CRC32C"


async def with_chap(observe: Callable[[Entry], None]) -> None:
    users = (ChapUser("host", b"twelvechars1"),)
    wish = replace(config(), chap_users=users, target_chap=TargetChap("array", b"othersecret12"))
    async with running(wish) as array:
        place = IscsiUrl(remote_portal(array), array.config.iqn, 0, "host", "twelvechars1", "array", "othersecret12")
        async with against(array, tell=observe, place=place) as host:
            await copies(host)


async def large(observe: Callable[[Entry], None]) -> None:
    """Run with disks of more than 2^32 blocks."""
    wish = Config(luns=tuple(LunConfig(name, 3 << 40) for name in "st"))
    async with running(wish) as array, against(array, tell=observe) as host:
        assert host.disks[0].is_long
        assert (await host.copy(layouts=[extents(512, (at, MIB)) for at in (1 << 32, (1 << 32) + (1 << 20))])).stop is None


async def out_of_time(observe: Callable[[Entry], None]) -> None:
    """Run an unaligned copy that exceeds its time budget; INFORMATION reports the end of each part."""
    wish = replace(config(), copy_budget_s=0.002)
    async with running(wish) as array, against(array, tell=observe) as host:
        source, destination = extents(512, (0x100000, 64 * MIB)), extents(512, (0x900001, 64 * MIB))
        await host.disks[0].write_file(source, 0, bytes([1]) * (64 * MIB))
        token = await offload_read(host.disks[0], source, 0, 64 * MIB)
        assert isinstance(token, Token)
        written = await OffloadWrite(host.disks[1], destination, 0, 64 * MIB, token.value, 0).run()
        assert (written.size_bytes, written.failure) == (64 * MIB, None)
        assert Rule.WRITE_SHORT in {finding.rule for finding in host.host.journal.findings}


async def reset(observe: Callable[[Entry], None]) -> None:
    async with running(config()) as array, against(array, tell=observe) as host:
        await host.disks[1].driver.port.reset()
        await copies(host)


RUNS: dict[Rule, Run] = {
    # rule: run that passes its step; all other rules use the plain run
    Rule.HEADER_DIGEST: with_digests,
    Rule.DATA_DIGEST: with_digests,
    Rule.HEADER_DIGEST_REFUSED: with_digests,
    Rule.DATA_DIGEST_REFUSED: with_digests,
    Rule.TARGET_SECRET_LENGTH: with_chap,
    Rule.INITIATOR_SECRET_LENGTH: with_chap,
    Rule.UNKNOWN_AUTH_METHOD: with_chap,
    Rule.CHAP_NOT_OFFERED: with_chap,
    Rule.CHAP_ALGORITHM: with_chap,
    Rule.CHAP_CHALLENGE: with_chap,
    Rule.CHAP_CHALLENGE_LENGTH: with_chap,
    Rule.CHAP_KEY: with_chap,
    Rule.CHAP_PROOF: with_chap,
    Rule.NO_CAPACITY: large,
    Rule.INFORMATION_OVER_REQUEST: out_of_time,
    Rule.RESET_UNANSWERED: reset,
}
STEPS = sorted(
    {(row[0], row[1].__name__ if isinstance(row[1], type) else str(row[1])) for table in DECLINED for row in table},
    key=lambda one: (list(Rule).index(one[0]), one[1]),
)
OBSERVED: dict[Run, Observation] = {}


async def observed(run: Run, monkeypatch: pytest.MonkeyPatch) -> Observation:
    """Return the observation of a run. Each run is made only once."""
    if run not in OBSERVED:
        observation = Observation()
        with watching(observation, monkeypatch):
            await run(observation.see)
        OBSERVED[run] = observation
    return OBSERVED[run]


@pytest.mark.parametrize(("rule", "step"), STEPS, ids=lambda value: value.name if isinstance(value, Rule) else None)
async def test_this_array_passes_where_windows_would_give_up(rule: Rule, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    observation = await observed(RUNS.get(rule, plain), monkeypatch)
    assert rule not in observation.rules
    assert step in observation.steps


@pytest.mark.parametrize("run", [plain, with_digests, with_chap, large])
async def test_nothing_is_even_noted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await observed(run, monkeypatch)).rules == set()


def test_every_rule_that_declines_has_its_row_here() -> None:
    assert {rule for rule, _ in STEPS} == {rule for rule in Rule if rule.declines}
    assert RUNS.keys() <= {rule for rule, _ in STEPS}
