"""Redirected logins (RFC 7143 11.13.5): their destination, their limit, and the messages of failures."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import trio
import trio.testing

from odx_target.initiator.errors import ConnectFailed, LoginFailed
from odx_target.initiator.session.discovered import DiscoveredTarget
from odx_target.initiator.session.opening import discover, open_session
from odx_target.initiator.session.options import SessionOptions
from odx_target.initiator.session.redirection import MAX_REDIRECTIONS, LoginRedirected
from odx_target.initiator.session.target_address import parse_target_address
from odx_target.initiator.url import Portal as Address
from odx_target.iscsi.pdu.headers import (
    LoginRequest,
    LoginResponse,
    LogoutRequest,
    LogoutResponse,
    TextRequest,
    TextResponse,
)
from odx_target.iscsi.pdu.text import encode_pairs
from tests.initiator.naive_portal import DEFAULT_KEYS, OPTIONS, TARGET, Portal, keys_of
from tests.initiator.test_login import CHAP

Redirections = Mapping[str, tuple[int, str]]
"""The status and the text of a portal's answer to a login, by name of the portal."""


class Network:
    """Naive portals by address. Those in `redirections` redirect, the one at `open_at` accepts logins, others cannot be
    reached.

    With `chap`, a portal redirects only after a login has done CHAP.
    """

    def __init__(self, redirections: Redirections, open_at: str = "", *, chap: bool = False) -> None:
        self.redirections = redirections
        self.open_at = open_at
        self.chap = chap
        self.reached: list[str] = []
        self.nursery: trio.Nursery

    async def connect(self, address: Address) -> trio.abc.Stream:
        name = str(address)
        self.reached.append(name)
        if name not in {*self.redirections, self.open_at}:
            raise ConnectionRefusedError(111, "Connection refused")
        near, far = trio.testing.memory_stream_pair()
        self.nursery.start_soon(self.serve, name, far)
        return near

    async def serve(self, name: str, stream: trio.abc.Stream) -> None:
        portal = Portal()
        async with stream:
            while received := await stream.receive_some():
                for pdu, data in portal.take([received]):
                    await stream.send_all(self.answer(name, portal, pdu, keys_of(data)))

    def answer(self, name: str, portal: Portal, pdu: object, keys: dict[str, str]) -> bytes:
        if isinstance(pdu, LoginRequest):
            return self.answer_login(name, portal, pdu, keys)
        if isinstance(pdu, TextRequest):
            text = encode_pairs([("TargetName", TARGET)])
            return portal.encode(TextResponse(initiator_task_tag=pdu.initiator_task_tag), text)
        assert isinstance(pdu, LogoutRequest)
        return portal.encode(LogoutResponse(initiator_task_tag=pdu.initiator_task_tag))

    def answer_login(self, name: str, portal: Portal, pdu: LoginRequest, keys: dict[str, str]) -> bytes:
        if self.chap and "AuthMethod" in keys:
            return portal.login_response(pdu, {"AuthMethod": "CHAP"}, transit=False, next_stage=0)
        if self.chap and "CHAP_A" in keys:
            return portal.login_response(pdu, {"CHAP_A": "5", "CHAP_I": "1", "CHAP_C": "0x" + "00" * 16})
        if name in self.redirections and not (self.chap and "CHAP_N" not in keys):
            status, text = self.redirections[name]
            pairs = [tuple(line.split("=", 1)) for line in text.split()]
            response = LoginResponse(isid=pdu.isid, status=status, initiator_task_tag=pdu.initiator_task_tag)
            return portal.encode(response, encode_pairs(pairs))  # type: ignore[arg-type]
        security = {} if "CHAP_N" in keys else {"AuthMethod": "None", "TargetPortalGroupTag": "1"}
        return portal.login_response(pdu, security if pdu.current_stage == 0 else {k: DEFAULT_KEYS[k] for k in keys})


Outcome = list[DiscoveredTarget] | LoginFailed | ConnectFailed


async def log_in(network: Network, options: SessionOptions = OPTIONS, target: str | None = TARGET) -> Outcome:
    """Log in at portal a. Returns the result of a discovery session, or the error of the login."""
    outcome: Outcome = []
    async with trio.open_nursery() as network.nursery:
        try:
            if target is None:
                outcome = await discover(Address("a"), options, network.connect)
            else:
                async with open_session(Address("a"), target, options, network.connect) as session:
                    assert session.is_usable
        except (LoginFailed, ConnectFailed) as failure:
            outcome = failure
        network.nursery.cancel_scope.cancel()
    return outcome


FOLLOWED: list[tuple[str, Redirections, list[str]]] = [
    ("for a time", {"a:3260": (0x0101, "TargetAddress=b:3260")}, ["a:3260", "b:3260"]),
    ("for ever", {"a:3260": (0x0102, "TargetAddress=b:3260")}, ["a:3260", "b:3260"]),
    ("to the usual port", {"a:3260": (0x0101, "TargetAddress=b")}, ["a:3260", "b:3260"]),
    ("to IPv6", {"a:3260": (0x0101, "TargetAddress=[2001:db8::1]:3261")}, ["a:3260", "[2001:db8::1]:3261"]),
    ("with a tag", {"a:3260": (0x0101, "TargetAddress=b:3260,1")}, ["a:3260", "b:3260"]),
    ("beside other keys", {"a:3260": (0x0101, "TargetAlias=x TargetAddress=b")}, ["a:3260", "b:3260"]),
    (
        "to the one that is an address",
        {"a:3260": (0x0101, "TargetAddress=b:0 TargetAddress=b TargetAddress=[b]")},
        ["a:3260", "b:3260"],
    ),
    ("to the second", {"a:3260": (0x0101, "TargetAddress=gone TargetAddress=b")}, ["a:3260", "gone:3260", "b:3260"]),
    (
        "twice",
        {"a:3260": (0x0101, "TargetAddress=c"), "c:3260": (0x0102, "TargetAddress=b")},
        ["a:3260", "c:3260", "b:3260"],
    ),
    (
        "past where it was",
        {"a:3260": (0x0101, "TargetAddress=c"), "c:3260": (0x0101, "TargetAddress=a TargetAddress=b")},
        ["a:3260", "c:3260", "b:3260"],
    ),
]


@pytest.mark.parametrize("target", [TARGET, None], ids=["normal", "discovery"])
@pytest.mark.parametrize(("redirections", "way"), [row[1:] for row in FOLLOWED], ids=[row[0] for row in FOLLOWED])
async def test_a_login_goes_where_it_is_sent(redirections: Redirections, way: list[str], target: str | None) -> None:
    network = Network(redirections, way[-1])
    found = await log_in(network, target=target)
    assert network.reached == way
    assert found == ([] if target else [DiscoveredTarget(TARGET, ())])


async def test_as_many_redirections_as_there_may_be() -> None:
    redirections = {("a" if i == 0 else f"p{i}") + ":3260": (0x0101, f"TargetAddress=p{i + 1}") for i in range(20)}
    first = {name: redirections[name] for name in list(redirections)[:MAX_REDIRECTIONS]}
    assert await log_in(Network(first, f"p{MAX_REDIRECTIONS}:3260")) == []
    network = Network(redirections)
    assert f"more than {MAX_REDIRECTIONS} redirections (a:3260 -> p1:3260" in str(await log_in(network))
    assert len(network.reached) == MAX_REDIRECTIONS + 1


@pytest.mark.parametrize("mutual", [False, True])
async def test_a_login_may_be_redirected_after_chap(mutual: bool) -> None:
    options = CHAP
    if mutual:
        options = replace(CHAP, target_user="it", target_secret="secret-of-the-target", entropy=bytes)
    network = Network({"a:3260": (0x0101, "TargetAddress=b")}, chap=True)
    assert "a:3260 -> b:3260" in str(await log_in(network, options))
    assert network.reached == ["a:3260", "b:3260"]


FAILURES: list[tuple[Redirections, list[str]]] = [
    ({"a:3260": (0x0101, "TargetAddress=a:3260")}, [TARGET, "circle (a:3260 -> a:3260)"]),
    (
        {"a:3260": (0x0101, "TargetAddress=b"), "b:3260": (0x0102, "TargetAddress=a")},
        [TARGET, "circle (a:3260 -> b:3260 -> a:3260)"],
    ),
    ({"a:3260": (0x0101, "TargetAddress=b")}, [TARGET, "b:3260: connection refused", "redirected a:3260 -> b:3260"]),
    ({"a:3260": (0x0101, "TargetAddress=b"), "b:3260": (0x0203, "")}, [TARGET, "not found", "a:3260 -> b:3260"]),
    ({"a:3260": (0x0101, "")}, [TARGET, "does not name an address"]),
    ({"a:3260": (0x0101, "TargetAddress=b:0")}, [TARGET, "an address that cannot be used"]),
    ({"a:3260": (0x0101, "TargetAddress=b,x")}, [TARGET, "an address that cannot be used: 'x' is no number"]),
    ({"a:3260": (0x0101, "TargetAddress=[b]")}, [TARGET, "an address that cannot be used: 'b' is no IPv6 address"]),
    ({"a:3260": (0x0203, "")}, [f"{TARGET}: login refused: not found (02h/03h)"]),
    ({"a:3260": (0x0300, "")}, [f"{TARGET}: login refused: target error (03h/00h)"]),
]


@pytest.mark.parametrize(("redirections", "words"), FAILURES)
async def test_a_failure_names_the_target_and_the_way_to_it(redirections: Redirections, words: list[str]) -> None:
    said = str(await log_in(Network(redirections)))
    assert "\n" not in said
    for word in words:
        assert word in said


ADDRESSES = [
    ("10.0.0.1:5003,1", Address("10.0.0.1", 5003)),
    ("10.0.0.1", Address("10.0.0.1", 3260)),
    ("[1080:0:0:0:8:800:200C:417A],65", Address("1080::8:800:200c:417a", 3260)),
    ("[1080::8:800:200C:417A]:5003,1", Address("1080::8:800:200c:417a", 5003)),
    ("computingcenter.example.com,23", Address("computingcenter.example.com", 3260)),
    ("host:0x138B,0xffff", Address("host", 5003)),
    ("host:0bE4s=", Address("host", 5003)),
]


@pytest.mark.parametrize(("text", "portal"), ADDRESSES)
def test_addresses(text: str, portal: Address) -> None:
    assert parse_target_address(text) == portal


@pytest.mark.parametrize(
    "text",
    [
        *("", ":3260", "host:", "host:0", "host:65536", "host:x", "host:-1", "2001:db8::1", "[2001:db8::1", "[host]"),
        *("a b", "host,", "host,65536", "host:3260,1,2", "x" * 64, "[2001:db8::1]3260"),
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError):
        parse_target_address(text)


def test_a_redirection_is_a_failure_for_those_who_do_not_follow_it() -> None:
    assert issubclass(LoginRedirected, LoginFailed)
