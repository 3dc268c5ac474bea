"""Host names are checked before a look-up, by the same rule for all sources: portals, URLs, redirections."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.initiator.errors import BadUrl, ConnectFailed
from odx_target.initiator.session.connecting import connect_tcp
from odx_target.initiator.session.opening import discover
from odx_target.initiator.url import Portal as RemotePortal
from odx_target.initiator.url import parse_url
from odx_target.iscsi.host_names import MAX_LABEL_BYTES, host_name_fault
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_portal
from odx_target.target.config.settings import Portal
from odx_target.target.listening_sockets import bind_portals
from tests.target.running import OPTIONS

LABEL = "a" * MAX_LABEL_BYTES
LONGEST = ".".join([LABEL, LABEL, LABEL, "b" * 61])

WRONG = [
    (LABEL + "a", "more than 63"),
    (f"a.{LABEL}b.c", "more than 63"),
    ("a..b", "empty label"),
    (".a", "empty label"),
    (".", "empty label"),
    ("a..", "empty label"),
    (LONGEST + "b", "more than 253"),
    ("x" * 10**6, "more than 253"),
    ("\u00e4" * 60, "characters"),
    ("\udc80", "characters"),
]
NOT_TAKEN = ["\u0660", "a\u200db"]
"""Names that the check accepts and the resolver does not."""


@pytest.mark.parametrize(
    "name", ["a", "127.0.0.1", "::1", "fe80::1%eth0", LABEL, LONGEST, LONGEST + ".", "a.", "b\u00fccher.example", "my_host"]
)
def test_names_that_can_be_looked_up(name: str) -> None:
    assert host_name_fault(name) is None


@pytest.mark.parametrize(("name", "complaint"), WRONG)
def test_names_that_cannot_be_looked_up(name: str, complaint: str) -> None:
    assert complaint in (host_name_fault(name) or "")
    with pytest.raises(ConfigError, match=complaint):
        parse_portal(f"{name}:3260")
    with pytest.raises(BadUrl, match=complaint):
        parse_url(f"iscsi://{name}/iqn.2026-11.io.odx-target:array/0")


@pytest.mark.parametrize("name", [name for name, _ in WRONG] + NOT_TAKEN)
async def test_edges_raise_os_error_for_them(name: str) -> None:
    with pytest.raises(OSError, match="cannot listen there"):
        await bind_portals([Portal(name, 0)])
    with pytest.raises(OSError, match=r"host name|Name or service"):
        await connect_tcp(RemotePortal(name, 1))
    with pytest.raises(ConnectFailed):
        await discover(RemotePortal(name, 1), OPTIONS)


@given(st.text(max_size=300))
def test_whatever_has_no_fault_is_taken_by_the_codec_of_the_resolver(name: str) -> None:
    if host_name_fault(name) is None:
        assert name.encode("idna")


def test_an_empty_name_is_no_host() -> None:
    assert host_name_fault("") == "there is no host"
