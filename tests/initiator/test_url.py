import pytest
from hypothesis import given
from hypothesis import strategies as st

from odx_target.initiator.errors import BadUrl
from odx_target.initiator.session.options import SessionOptions, with_credentials
from odx_target.initiator.url import IscsiUrl, Portal, parse_url

IQN = "iqn.2026-11.io.odx-target:array"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        (f"iscsi://127.0.0.1:3261/{IQN}/0", IscsiUrl(Portal("127.0.0.1", 3261), IQN, 0)),
        (f"iscsi://host/{IQN}/7", IscsiUrl(Portal("host", 3260), IQN, 7)),
        (f"iscsi://[::1]:3261/{IQN}/16383", IscsiUrl(Portal("::1", 3261), IQN, 16383)),
        (f"iscsi://[fe80::2]/{IQN}/1", IscsiUrl(Portal("fe80::2", 3260), IQN, 1)),
        (f"ISCSI://host/{IQN.upper()}/1", IscsiUrl(Portal("host"), IQN, 1)),
        (f"iscsi://me@host/{IQN}/1", IscsiUrl(Portal("host"), IQN, 1, "me")),
        (f"iscsi://me%se@cret@host:1/{IQN}/1", IscsiUrl(Portal("host", 1), IQN, 1, "me", "se@cret")),
        (
            f"iscsi://me%a@host/{IQN}/1?target_user=it&target_password=b?=%c",
            IscsiUrl(Portal("host"), IQN, 1, "me", "a", "it", "b?=%c"),
        ),
        ("iscsi://h/eui.0123456789abcdef/2", IscsiUrl(Portal("h"), "eui.0123456789abcdef", 2)),
    ],
)
def test_a_url_says_portal_target_and_lun(text: str, url: IscsiUrl) -> None:
    assert parse_url(text) == url


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "begins with iscsi://"),
        ("http://host/x/0", "begins with iscsi://"),
        ("iscsi://", "no host"),
        (f"iscsi:///{IQN}/0", "no host"),
        (f"iscsi://ho st/{IQN}/0", "no host"),
        (f"iscsi://@host/{IQN}/0", "no user name"),
        (f"iscsi://host:0/{IQN}/0", "not a port"),
        (f"iscsi://host:65536/{IQN}/0", "not a port"),
        (f"iscsi://host:/{IQN}/0", "not a port"),
        (f"iscsi://host:3\u0662/{IQN}/0", "not a port"),
        (f"iscsi://host:{'9' * 5000}/{IQN}/0", "not a port"),
        (f"iscsi://[::1/{IQN}/0", "IPv6"),
        (f"iscsi://[::1]3260/{IQN}/0", "IPv6"),
        (f"iscsi://[]:3260/{IQN}/0", "no host"),
        ("iscsi://host", "expected iscsi://HOST:PORT/IQN/LUN"),
        (f"iscsi://host/{IQN}", "expected iscsi://HOST:PORT/IQN/LUN"),
        (f"iscsi://host/{IQN}/", "expected iscsi://HOST:PORT/IQN/LUN"),
        (f"iscsi://host/{IQN}/0/1", "expected iscsi://HOST:PORT/IQN/LUN"),
        ("iscsi://host/array/0", "not an iSCSI name"),
        (f"iscsi://host/iqn.{'x' * 220}/0", "not an iSCSI name"),
        (f"iscsi://host/{IQN}/-1", "not a LUN"),
        (f"iscsi://host/{IQN}/16384", "not a LUN"),
        (f"iscsi://host/{IQN}/one", "not a LUN"),
        (f"iscsi://me%a@host/{IQN}/1?", "after '\\?'"),
        (f"iscsi://me%a@host/{IQN}/1?target_user=it", "target_user and target_password, each with a value"),
        (f"iscsi://me%a@host/{IQN}/1?target_user=&target_password=b", "each with a value"),
        (f"iscsi://me%a@host/{IQN}/1?target_user=it&target_password=b&lun=1", "each with a value"),
        (f"iscsi://host/{IQN}/1?target_user=it&target_password=b", "only to a user with a secret"),
        (f"iscsi://me@host/{IQN}/1?target_user=it&target_password=b", "only to a user with a secret"),
    ],
)
def test_a_bad_url_is_one_clear_line(text: str, complaint: str) -> None:
    with pytest.raises(BadUrl, match=complaint) as caught:
        parse_url(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"iscsi://me%hunter2@host/{IQN}/none",
        f"iscsi://me%hunter2@host/{IQN}/none?target_user=it&target_password=hunter2",
        f"iscsi://me%hunter2@host/{IQN}/0?target_password=hunter2&target_user=",
        f"iscsi://me%hunter2@host/{IQN}/0?target_user=it&target_password=@hunter2&x=@hunter2",
        f"iscsi://me%hunter2/hunter2@host/{IQN}/0",
        f"iscsi://me%a?hunter2@host/{IQN}/none",
        f"iscsi://me%hunter2/{IQN}/none",
        "http://me%hunter2@host",
    ],
)
def test_no_message_shows_a_secret(text: str) -> None:
    with pytest.raises(BadUrl) as caught:
        parse_url(text)
    assert "hunter2" not in str(caught.value)


def test_no_url_shows_a_secret() -> None:
    url = parse_url(f"iscsi://me%hunter2@host/{IQN}/0?target_user=it&target_password=hunter3")
    assert str(url) == f"iscsi://me@host:3260/{IQN}/0"
    assert "hunter" not in repr(url)
    assert "hunter" not in repr(with_credentials(SessionOptions(bytes(6)), url))


@given(st.text())
def test_any_text_is_a_url_or_refused(text: str) -> None:
    for candidate in (text, f"iscsi://{text}", f"iscsi://h/{text}", f"iscsi://{text}/{IQN}/0"):
        try:
            url = parse_url(candidate)
        except BadUrl as refusal:
            assert "\n" not in str(refusal)  # noqa: PT017 - the message is what is checked
        else:
            assert parse_url(str(url)) == IscsiUrl(url.portal, url.target_name, url.lun, url.user)
