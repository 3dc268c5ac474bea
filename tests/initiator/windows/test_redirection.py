"""Windows follows a redirected login, and reports a redirection to an address that cannot be reached."""

import trio

from odx_target.cli.hosts.windows.session import LoginPlan, open_windows_session
from odx_target.initiator.errors import LoginFailed
from odx_target.initiator.url import IscsiUrl
from odx_target.initiator.url import Portal as Address
from odx_target.initiator.windows.journal import Journal
from odx_target.initiator.windows.session.login import session_options
from tests.initiator.naive_portal import TARGET
from tests.initiator.test_redirection import Network


async def log_in(network: Network) -> LoginFailed | None:
    plan = LoginPlan(IscsiUrl(Address("a"), TARGET, 0), session_options(1), Journal(), network.connect)
    failure: LoginFailed | None = None
    async with trio.open_nursery() as network.nursery:
        try:
            async with open_windows_session(plan) as session:
                assert session.is_usable
        except LoginFailed as failed:
            failure = failed
        network.nursery.cancel_scope.cancel()
    return failure


async def test_windows_logs_in_where_it_is_sent() -> None:
    network = Network({"a:3260": (0x0101, "TargetAddress=b:3261")}, "b:3261")
    assert await log_in(network) is None
    assert network.reached == ["a:3260", "b:3261"]


async def test_windows_does_not_go_in_a_circle() -> None:
    assert "circle" in str(await log_in(Network({"a:3260": (0x0102, "TargetAddress=a")})))
