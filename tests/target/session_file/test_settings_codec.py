"""The settings of a recording: all settings come back, and secrets, paths and programs are left out."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from odx_target.target.config.settings import Config
from odx_target.target.config.settings_file import config_of
from odx_target.target.personality.reading import find_personality, known_personalities
from odx_target.target.session_file.frames import RecordingDamaged
from odx_target.target.session_file.settings_codec import decode_settings, encode_settings, without_commands

SECRET = "secret-of-a-host"
TABLE: dict[str, Any] = {
    "iqn": "iqn.2026-11.com.example:first",
    "portal": ["127.0.0.1:3260", "[::1]:3261"],
    "lun": [{"name": "a", "size": "1M", "block": 4096, "compression": "lz4"}],
    "access": [{"initiator": ["iqn.2026-11.com.example:*"], "luns": [{"lun": 3, "volume": "a", "read-only": True}]}],
    "target": [{"iqn": "iqn.2026-11.com.example:second", "chap": [{"user": "host", "secret": SECRET}], "max-sessions": 2}],
    "chap": [{"user": "host", "secret": SECRET}],
    "target-chap": {"user": "array", "secret": "secret-of-the-array"},
    "portal-group": [{"tag": 2, "portal": ["[::1]:3261"]}],
    "announce": {"127.0.0.1:3260": "192.0.2.1:3260"},
    "fault": [{"name": "f", "command": "read", "after": "10s", "status": "busy"}],
    "schedule": [{"name": "s", "every": "hourly", "keep": 3, "before": "/bin/rm -rf /", "volumes": ["a"]}],
    "token-access": "source",
    "soft-thresholds": [50],
    "copy-budget": 2,
}


def without_secrets(config: Config) -> Config:
    targets = tuple(replace(each, chap_users=None, target_chap=None) for each in config.targets)
    schedules = tuple(replace(each, fields=without_commands(each.fields)) for each in config.schedules)
    return replace(
        config, pool_dir=None, capacity_tier=None, chap_users=(), target_chap=None, targets=targets, schedules=schedules
    )


def test_settings_come_back_without_secrets_paths_and_programs() -> None:
    config = config_of(TABLE, Path(), Config(pool_dir=Path("/pool")))
    text = json.dumps(encode_settings(config))
    assert not any(word in text for word in ("secret", "/pool", "/bin/rm"))
    assert decode_settings(json.loads(text)) == without_secrets(config)


@pytest.mark.parametrize("name", known_personalities())
def test_personalities_come_back(name: str) -> None:
    config = Config(personality=find_personality(name))
    assert decode_settings(json.loads(json.dumps(encode_settings(config)))) == config


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"pool_dir": "/etc"}, "'pool_dir' is not known"),
        ({"chap_users": []}, "'chap_users' is not known"),
        ({"polling": 1}, "is not of the kind bool"),
        ({"luns": {}}, "is not of the kind list"),
        ({"luns": [{"name": 1}]}, "is not of the kind str"),
        ({"luns": [{}]}, "cannot be used"),
        ({"token_access": "nobody"}, "cannot be used"),
        ({"announced": [[{}]]}, "cannot be used"),
    ],
)
def test_other_settings_are_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(RecordingDamaged, match=problem):
        decode_settings({**encode_settings(Config()), **change})
