"""Users and secrets: their sources, warnings, and refusals in one line that shows no secret."""

from pathlib import Path

import pytest

from odx_target.iscsi.names import MAX_NAME_BYTES
from odx_target.target.config.chap import (
    MAX_SECRET_BYTES,
    MAX_SECRET_FILE_BYTES,
    MAX_USER_BYTES,
    MAX_USERS,
    MIN_SECRET_BYTES,
    ChapUser,
    TargetChap,
    accounts_of,
    chap_user,
    chap_user_from_file,
    chap_warnings,
    read_secret,
    target_chap,
    target_chap_from_file,
    user_and_secret_file,
)
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config
from odx_target.target.config.settings_file import load_config

SECRET = "sesame-open-1"
OTHER = "sesame-close-2"


def load(folder: Path, text: str) -> Config:
    path = folder / "array.toml"
    path.write_text(text)
    return load_config(path)


def test_a_whole_file(tmp_path: Path) -> None:
    (tmp_path / "one").write_text(f"{SECRET}\n")
    (tmp_path / "own").write_bytes(f"{OTHER}\r\n".encode())
    config = load(
        tmp_path,
        '[target-chap]\nuser = "array"\nsecret-file = "own"\n'
        '[[chap]]\nuser = "one"\nsecret-file = "one"\ninitiator = "iqn.2026-11.example:one"\n'
        '[[chap]]\nuser = "two"\nsecret = "sésame, öffne dich"\n',
    )
    assert config.chap_users == (
        ChapUser("one", SECRET.encode(), "iqn.2026-11.example:one", tmp_path / "one"),
        ChapUser("two", "sésame, öffne dich".encode()),
    )
    assert config.target_chap == TargetChap("array", OTHER.encode(), tmp_path / "own")
    assert config.chap_discovery
    accounts = accounts_of(config.chap_users, config.target_chap)
    assert accounts is not None
    assert accounts.own is not None
    assert (accounts.own.name, accounts.own.secret) == ("array", OTHER.encode())
    assert accounts.by_user["one"].initiator_name == "iqn.2026-11.example:one"
    assert SECRET not in repr(config)
    assert "ffne" not in repr(config)
    assert OTHER not in repr(config)


def test_discovery_may_be_left_open(tmp_path: Path) -> None:
    assert not load(tmp_path, "chap-discovery = false").chap_discovery


def test_without_users_everybody_is_let_in() -> None:
    assert accounts_of((), None) is None


def test_an_absolute_secret_file_stays_where_it_is(tmp_path: Path) -> None:
    secret_file = tmp_path / "secret"
    secret_file.write_text(SECRET)
    folder = tmp_path / "folder"
    folder.mkdir()
    (user,) = load(folder, f'[[chap]]\nuser = "a"\nsecret-file = "{secret_file}"').chap_users
    assert (user.secret, user.secret_file) == (SECRET.encode(), secret_file)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chap = 1", "want tables"),
        ("chap = [1]", "want tables"),
        ("[chap]\nuser = 'a'", "want tables"),
        ("[[target-chap]]\nuser = 'a'", r"want a table \[target-chap\]"),
        ("[[chap]]", "user is missing"),
        (f"[[chap]]\nsecret = '{SECRET}'", "user is missing"),
        ("[[chap]]\nuser = 'a'", "either secret or secret-file"),
        (f"[[chap]]\nuser = 'a'\nsecret = '{SECRET}'\nsecret-file = 'b'", "either secret or secret-file"),
        (f"[[chap]]\nuser = 'a'\nsecret = '{SECRET}'\nSecret = 'b'", "unknown key 'Secret'"),
        (f"[target-chap]\nuser = 'a'\nsecret = '{SECRET}'\ninitiator = 'iqn.b'", "unknown key 'initiator'"),
        (f"[[chap]]\nuser = 1\nsecret = '{SECRET}'", "user: want a text"),
        ("[[chap]]\nuser = 'a'\nsecret = 1234567890123456", "secret: want a text"),
        ("[[chap]]\nuser = 'a'\nsecret-file = true", "secret-file: want a text"),
        (f"[[chap]]\nuser = 'a'\nsecret = '{SECRET}'\ninitiator = 1", "initiator: want a text"),
        (f"[[chap]]\nuser = 'a'\nsecret = '{SECRET}'\ninitiator = 'host'", "is no iSCSI name"),
        (f"[[chap]]\nuser = ''\nsecret = '{SECRET}'", "want a name on one line"),
        (f'[[chap]]\nuser = "a\\nb"\nsecret = "{SECRET}"', "want a name on one line"),
        (f'[[chap]]\nuser = "a"\nsecret = "{SECRET}\\n"', "not on one line"),
        (f'[[chap]]\nuser = "a"\nsecret = "{SECRET}\\u0000"', "not on one line"),
        ("[[chap]]\nuser = 'a'\nsecret = 'sesame-open'", r"has 11 bytes, RFC 7143 wants 12 \(96 bits\) or more"),
        ("[target-chap]\nuser = 'a'\nsecret = ''", "has 0 bytes"),
        ("[[chap]]\nuser = 'a'\nsecret-file = ''", "no path"),
        ('[[chap]]\nuser = "a"\nsecret-file = "b\\u0000"', "no path"),
        ("[[chap]]\nuser = 'a'\nsecret-file = 'none'", "No such file"),
        ("[[chap]]\nuser = 'a'\nsecret-file = '.'", "Is a directory"),
        ("chap-discovery = 'no'", "true or false"),
    ],
)
def test_a_wrong_table_is_one_clear_line_without_a_secret(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load(tmp_path, text)
    assert "\n" not in str(caught.value)
    assert "sesame" not in str(caught.value)
    assert "1234567890123456" not in str(caught.value)


@pytest.mark.parametrize("size_bytes", [MIN_SECRET_BYTES, MAX_SECRET_BYTES])
def test_lengths_of_secrets_that_may_be(size_bytes: int) -> None:
    assert chap_user("a", bytes([255]) * size_bytes).secret == target_chap("a", bytes([255]) * size_bytes).secret


@pytest.mark.parametrize("size_bytes", [0, MIN_SECRET_BYTES - 1, MAX_SECRET_BYTES + 1])
def test_lengths_of_secrets_that_may_not(size_bytes: int) -> None:
    for refused in (chap_user, target_chap):
        with pytest.raises(ConfigError, match="bytes"):
            refused("a", b"x" * size_bytes)
    with pytest.raises(ConfigError, match="bytes"):  # made without `chap_user`
        accounts_of([ChapUser("a", b"x" * size_bytes)], None)
    with pytest.raises(ConfigError, match="bytes"):
        accounts_of([ChapUser("a", SECRET.encode())], TargetChap("b", b"x" * size_bytes))


def test_limits_of_names() -> None:
    secret = SECRET.encode()
    chap_user("u" * MAX_USER_BYTES, secret)
    for name in ("u" * (MAX_USER_BYTES + 1), "ü" * (MAX_USER_BYTES // 2 + 1), "a\ud800"):
        with pytest.raises(ConfigError, match="want a name"):
            chap_user(name, secret)
    longest = "iqn.".ljust(MAX_NAME_BYTES, "x")
    for good in (longest, "eui.02004567A425678D", "IQN.2026-11.x"):
        assert chap_user("a", secret, good).initiator == good
    for bad in (f"{longest}x", "host", "", "iqn.a b", "iqn.a\n", "iqn.", "iqn.a,b", "eui.1", "naa.x", "iqn.a\ud800"):
        with pytest.raises(ConfigError, match="chap user 'a': initiator: "):
            chap_user("a", secret, bad)


def test_limit_of_users() -> None:
    users = [ChapUser(f"u{number}", SECRET.encode()) for number in range(MAX_USERS + 1)]
    assert accounts_of(users[:-1], None) is not None
    with pytest.raises(ConfigError, match="over the limit"):
        accounts_of(users, None)


def test_what_does_not_go_together() -> None:
    user, own = ChapUser("a", SECRET.encode()), TargetChap("t", OTHER.encode())
    with pytest.raises(ConfigError, match="at least one chap user"):
        accounts_of((), own)
    with pytest.raises(ConfigError, match="'a' is named twice"):
        accounts_of((user, ChapUser("b", OTHER.encode()), user), None)
    with pytest.raises(ConfigError, match="same secret"):
        accounts_of((user,), TargetChap("t", user.secret))


def test_secret_files(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    for content, secret in ((b"x", b"x"), (b"x\n", b"x"), (b"x\r\n", b"x"), (b" x \n", b" x "), (b"x\n\n", b"x\n"), (b"", b"")):
        path.write_bytes(content)
        assert read_secret(path) == secret
    path.write_bytes(b"x" * MAX_SECRET_FILE_BYTES)
    assert len(read_secret(path)) == MAX_SECRET_FILE_BYTES
    path.write_bytes(b"x" * (MAX_SECRET_FILE_BYTES + 1))
    with pytest.raises(ConfigError, match="not a secret"):
        read_secret(path)
    path.write_text("two\nlines of a secret\n")
    with pytest.raises(ConfigError, match="not on one line"):
        chap_user_from_file("a", path)


def test_the_command_line_names_a_user_and_a_file_or_neither(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET)
    assert user_and_secret_file("chap", None, None) is None
    assert user_and_secret_file("chap", "a", path) == ("a", path)
    for user, file in (("a", None), (None, path)):
        with pytest.raises(ConfigError, match="--target-chap-user and --target-chap-secret-file go together"):
            user_and_secret_file("target-chap", user, file)
    assert target_chap_from_file("t", path) == TargetChap("t", SECRET.encode(), path)


def test_warnings(tmp_path: Path) -> None:
    private, public = tmp_path / "private", tmp_path / "public"
    for path, mode in ((private, 0o640), (public, 0o644)):
        path.write_text(SECRET)
        path.chmod(mode)
    one, own = ChapUser("one", SECRET.encode(), None, private), TargetChap("t", OTHER.encode(), private)
    assert chap_warnings((one,), own, public) == []
    assert chap_warnings((), None, public) == []
    (words,) = chap_warnings((one,), TargetChap("t", OTHER.encode(), public), None)
    assert words == f"{public} has a CHAP secret that every user of this machine can read"
    (words,) = chap_warnings((one, ChapUser("two", b"another-secret")), None, public)
    assert str(public) in words
    assert chap_warnings((ChapUser("gone", SECRET.encode(), None, tmp_path / "gone"),), None, None) == []
    (words,) = chap_warnings((one, ChapUser("two", SECRET.encode(), None, private)), own, None)
    assert "'one', 'two' have the same secret" in words
    assert SECRET not in words
