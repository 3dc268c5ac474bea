"""The access rules and the targets of a configuration file."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from odx_target.copymgr.limits import TokenAccess
from odx_target.target.access import lun_maps
from odx_target.target.config.access_settings import AccessRule, MappedLun, access_rules_of, find_rule
from odx_target.target.config.chap import ChapUser
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Portal, TargetConfig
from odx_target.target.config.settings_file import load_config
from tests.target.access.sessions import STRANGER, A, B

FILE = """
token-access = "source"
max-sessions = 64

[[access]]
initiator = ["IQN.2026-11.example:A", "iqn.1991-05.com.microsoft:*"]
luns = [{ lun = 0, volume = "first" }, { lun = 300, volume = "second", read-only = true }]

[[access]]
initiator = "iqn.2026-11.example:b"

[[target]]
iqn = "iqn.2026-11.example:Second"
portal = ["127.0.0.1:3261", "[::1]:3261"]
access = [{ initiator = "*", luns = [] }]
chap = [{ user = "u", secret = "secret-of-u-000" }]
"""


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "array.toml"
    path.write_text(FILE)
    config = load_config(path)
    luns = (MappedLun(0, "first"), MappedLun(300, "second", read_only=True))
    assert config.access == (AccessRule((A, "iqn.1991-05.com.microsoft:*"), luns), AccessRule((B,)))
    assert config.token_access is TokenAccess.SOURCE
    assert config.max_sessions == 64
    portals = (Portal("127.0.0.1", 3261), Portal("::1", 3261))
    users = (ChapUser("u", b"secret-of-u-000"),)
    assert config.targets == (TargetConfig("iqn.2026-11.example:second", portals, (AccessRule(("*",), ()),), users),)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("access = 1", "tables"),
        ("[[access]]", "initiator is missing"),
        ("[[access]]\ninitiator = 1", "name or pattern"),
        ("[[access]]\ninitiator = []", "name or pattern"),
        ("[[access]]\ninitiator = [1]", "name or pattern"),
        ('[[access]]\ninitiator = "host"', "no iSCSI name"),
        ('[[access]]\ninitiator = "*\\n"', "one line"),
        ('[[access]]\ninitiator = "*"\nname = 1', "unknown key"),
        ('[[access]]\ninitiator = "iqn.a"\n[[access]]\ninitiator = "iqn.A"', "named twice"),
        ('[[access]]\ninitiator = "*"\nluns = 1', "want a list"),
        ('[[access]]\ninitiator = "*"\nluns = [{ lun = 0 }]', "volume is missing"),
        ('[[access]]\ninitiator = "*"\nluns = [{ lun = 16384, volume = "a" }]', "0 to 16383"),
        ('[[access]]\ninitiator = "*"\nluns = [{ lun = true, volume = "a" }]', "0 to 16383"),
        ('[[access]]\ninitiator = "*"\nluns = [{ lun = 0, volume = 1 }]', "name of a volume"),
        ('[[access]]\ninitiator = "*"\nluns = [{ lun = 0, volume = "a", read-only = 1 }]', "true or false"),
        ('[[access]]\ninitiator = "*"\nluns = [{ lun = 0, volume = "a", x = 1 }]', "unknown key"),
        ('[[access]]\ninitiator = "*"\nluns = [{ lun = 0, volume = "a" }, { lun = 0, volume = "b" }]', "lun 0 is named twice"),
        ('[[access]]\ninitiator = "*"\nluns = [{ lun = 0, volume = "a" }, { lun = 1, volume = "a" }]', "volume 'a' is named"),
        ('token-access = "nobody"', "anyone, source, creator"),
        ("max-sessions = 0", "1 to 64"),
        ("max-sessions = true", "1 to 64"),
        ("target = 1", "tables"),
        ("[[target]]", "iqn is missing"),
        ("[[target]]\niqn = 1", "text in quotes"),
        ('[[target]]\niqn = "array"', "target name"),
        ('[[target]]\niqn = "iqn.2026-11.example:a"\nportal = 1', "HOST:PORT"),
        ('[[target]]\niqn = "iqn.2026-11.example:a"\nluns = 1', "unknown key"),
    ],
)
def test_a_wrong_file_is_refused_on_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "array.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as refused:
        load_config(path)
    assert "\n" not in str(refused.value)


def test_too_many_rules() -> None:
    with pytest.raises(ConfigError, match="over the limit of 1024"):
        access_rules_of([{"initiator": f"iqn.{number}"} for number in range(1025)])


def test_a_name_comes_before_patterns_and_the_first_pattern_is_used() -> None:
    rules = [AccessRule((pattern,)) for pattern in ("iqn.2026-11.example:[x-z]", "iqn.2026-11.*", B, "*")]
    assert [find_rule(rules, name) for name in (A, B, STRANGER, B.upper(), "iqn.2026-11.example:y", "eui.1")] == [
        1,
        2,
        1,
        2,
        0,
        3,
    ]
    assert find_rule(rules[:3], "eui.1") is None
    assert find_rule([AccessRule(("iqn.a?c",))], "iqn.abc") == 0
    assert find_rule([AccessRule(("iqn.a?c",))], "iqn.abbc") is None
    assert find_rule([AccessRule((A,))], f"{A}2") is None


def test_too_many_names_and_patterns() -> None:
    names = [f"iqn.{number}*" for number in range(1025)]
    assert len(access_rules_of([{"initiator": names[:-1]}])[0].patterns) == 1024
    with pytest.raises(ConfigError, match="1025 names and patterns are over the limit of 1024"):
        access_rules_of([{"initiator": names[:1000]}, {"initiator": names[1000:]}])


def test_a_search_is_not_repeated_until_the_rules_change(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []

    def find(rules: Sequence[AccessRule], name: str) -> int | None:
        searched.append(name)
        return find_rule(rules, name)

    monkeypatch.setattr(lun_maps, "find_rule", find)
    maps = lun_maps.LunMaps({}, (AccessRule((A,)),))
    assert maps.map_of(A) is maps.map_of(A) is not None
    assert searched == [A]
    maps.set_rules((AccessRule((B,)),))
    assert maps.map_of(A) is None
    for number in range(lun_maps.MAX_FOUND_RULES):
        assert maps.map_of(f"iqn.{number}") is None
    assert maps.map_of(A) is None
    assert searched.count(A) == 3, "only MAX_FOUND_RULES results are kept"
