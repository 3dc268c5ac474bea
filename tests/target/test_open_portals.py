"""The warning for portals where anyone can access the LUNs: one line for each portal beyond the loopback, without CHAP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import pytest
from structlog.testing import capture_logs

from odx_target.cli.serving.access_warnings import warn_of_open_portals
from odx_target.cli.serving.metrics import served_metrics
from odx_target.target.access.targets import authentications_of, target_configs, targets_of
from odx_target.target.array import Array
from odx_target.target.config.chap import ChapUser
from odx_target.target.config.settings import Config, Portal
from odx_target.target.loopback import is_loopback
from odx_target.target.metrics import server

USER = ChapUser("first-host", b"secret-of-first-host")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("::ffff:192.0.2.1", False),
        ("fe80::1%eth0", False),
    ],
)
def test_only_the_loopback_is_out_of_reach(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
    assert [line["portal"] for line in warnings(Config(), host)] == ([] if expected else [str(Portal(host))])


def test_each_open_portal_is_a_line_unless_hosts_must_prove_themselves() -> None:
    hosts = ("127.0.0.1", "192.0.2.1", "::")
    lines = warnings(Config(), *hosts)
    assert [(line["log_level"], line["portal"]) for line in lines] == [("warning", "192.0.2.1:3260"), ("warning", "[::]:3260")]
    assert all("--chap-user" in str(line["event"]) for line in lines)
    assert warnings(Config(chap_users=(USER,)), *hosts) == []


@pytest.mark.parametrize(("host", "is_warned"), [("::ffff:127.0.0.1", False), ("127.0.0.1", False), ("::", True)])
async def test_metrics_beyond_the_loopback_cause_a_warning(host: str, is_warned: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def serve(address: Portal, _text: object) -> AsyncIterator[Portal]:
        yield address

    monkeypatch.setattr(server, "serve_metrics", serve)
    with capture_logs() as lines:
        async with served_metrics(Portal(host), cast(Array, None)):
            pass
    assert [line["log_level"] for line in lines] == ["info", *(["warning"] if is_warned else [])]


def warnings(config: Config, *hosts: str) -> list[dict[str, object]]:
    with capture_logs() as lines:
        settings = replace(config, portals=tuple(Portal(host) for host in hosts))
        numbers = {target.iqn: number for number, target in enumerate(target_configs(settings), 1)}
        warn_of_open_portals(targets_of(settings, {}, authentications_of(settings, bytes), settings.portals, numbers))
    return [dict(line) for line in lines]
