"""A recording has the content of the personality's file, because the file may change."""

import json

import pytest

from odx_target.target.config.settings import Config
from odx_target.target.personality.reading import find_personality, known_personalities
from odx_target.target.session_file.frames import RecordingDamaged
from odx_target.target.session_file.settings_codec import decode_settings, encode_settings


@pytest.mark.parametrize("name", known_personalities())
def test_a_personality_comes_back(name: str) -> None:
    config = Config(personality=find_personality(name))
    encoded = json.loads(json.dumps(encode_settings(config)))
    assert decode_settings(encoded).personality == config.personality


def test_an_array_without_a_personality_stays_itself() -> None:
    assert decode_settings(encode_settings(Config())).personality == Config().personality


@pytest.mark.parametrize(
    "damage", [{"name": 1}, {"table": []}, {"table": {"colour": 1}}, {"table": {"lun": {"block-length": 1}}}]
)
def test_a_damaged_personality_is_one_line(damage: dict[str, object]) -> None:
    encoded = encode_settings(Config(personality=find_personality("lio")))
    encoded["personality"] |= damage
    with pytest.raises(RecordingDamaged) as error:
        decode_settings(encoded)
    assert str(error.value).isprintable()
