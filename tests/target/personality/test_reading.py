"""Personality files: each error is one line that names the setting, and every setting reaches its part of the array."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from odx_target.copymgr.limits import CopyLimits, CopyOptions
from odx_target.copymgr.tokens.rod_types import ACCESS_UPON_REFERENCE_TYPES
from odx_target.scsi.commands.standard import standard_commands
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.limits import BlockLimits, block_limits_for
from odx_target.scsi.sense import TOKEN_EXPIRED, TOKEN_UNKNOWN
from odx_target.scsi.unit.unit_personality import Provisioning, UnitPersonality
from odx_target.target.config.copy_settings import copy_limits_of, copy_options_of
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, LunConfig
from odx_target.target.config.settings_file import config_of
from odx_target.target.personality.application import with_block_length
from odx_target.target.personality.personality import NO_PERSONALITY, Personality
from odx_target.target.personality.reading import find_personality, known_personalities, personality_of
from odx_target.target.personality.values import ALL_COMMANDS
from odx_target.target.personality.words import WORDS, Place

FIELDS_OF = {
    Place.UNIT: UnitPersonality,
    Place.LIMIT: BlockLimits,
    Place.PROVISIONING: Provisioning,
    Place.COPY_LIMIT: CopyLimits,
    Place.COPY_OPTION: CopyOptions,
    Place.PERSONALITY: Personality,
}


def read(text: str) -> Personality:
    return personality_of("ours", tomllib.loads(text))


WRONG = [
    ("colour = 1", "unknown key 'colour'; known are title, description, sources, inquiry"),
    ("inqiry = {}", "unknown key 'inqiry'; did you mean inquiry?"),
    ("inquiry = 1", "inquiry: want a table [inquiry]"),
    ("inquiry.vender = 'x'", "inquiry: unknown key 'vender'; did you mean vendor?"),
    ("inquiry.vendor = 'NINECHARS'", "inquiry.vendor: want a text of at most 8 printable ASCII characters, not 'NINECHARS'"),
    ("inquiry.vendor = 'ä'", "inquiry.vendor: want a text of at most 8 printable ASCII characters, not 'ä'"),
    ("inquiry.third-party-copy = 1", "inquiry.third-party-copy: want true or false, not '1'"),
    ("inquiry.missing-pages = '8Fh'", "inquiry.missing-pages: want a list such as [\"8Fh\"], not '8Fh'"),
    ("inquiry.missing-pages = ['00h']", "inquiry.missing-pages: want codes of VPD pages such as 8Fh, but not 00h"),
    ("inquiry.missing-pages = [143]", "inquiry.missing-pages: want codes of VPD pages such as 8Fh"),
    ("lun.block-length = 520", "lun.block-length: want 512 or 4096, not '520'"),
    ("block-limits.maximum-transfer = '17M'", "block-limits.maximum-transfer: want at most 16777216 bytes, the limit of this"),
    ("block-limits.optimal-transfer = 'unlimited'", "block-limits.optimal-transfer: size 'unlimited': want a number"),
    ("block-limits.maximum-unmap-descriptors = 256", "maximum-unmap-descriptors: want a number from 0 to 255, not '256'"),
    ("token-copy.maximum-ranges = 0", "token-copy.maximum-ranges: want a number from 1 to 4095, not '0'"),
    ("token-copy.maximum-token = '1M'", "copy limits: the optimal transfer must not be larger than the maximum"),
    ("token-copy.optimal-transfer = 512", "copy limits: sizes must be whole blocks of the store"),
    ("token-copy.default-inactivity-timeout = 3601", "copy limits: minimum, default and maximum inactivity timeout"),
    ("token-copy.rod-type = 'frozen'", "token-copy.rod-type: want point in time or access upon reference, not 'frozen'"),
    ("commands.missing = ['UNMAPP']", "commands.missing: there is no command 'UNMAPP'; did you mean unmap?"),
    ("commands = {missing = ['READ'], only = ['READ']}", "commands: give missing or only, not both"),
    ("zero-fields.UNMAPP = ['x']", "zero-fields: there is no command 'UNMAPP'; did you mean unmap?"),
    ("zero-fields.'WRITE(10)' = 'FUA'", "zero-fields: WRITE(10): want a list of fields of its CDB"),
    (
        "zero-fields.'WRITE(10)' = ['FUAA']",
        "zero-fields: WRITE(10) has no field 'FUAA'; did you mean fua?",
    ),
    ("zero-fields.'WRITE(10)' = ['operation code']", "zero-fields: WRITE(10) has no field 'operation code'"),
    ("zero-fields.'FFh' = ['FUA']", "zero-fields: there is no command 'FFh'"),
    ("zero-fields.'UNMAP' = ['operation code']", "zero-fields: UNMAP has no field 'operation code'"),
    ("sense.'TOKEN EXPIRE' = '5/23/00'", "sense: there is no sense data 'TOKEN EXPIRE'; did you mean token-expired?"),
    ("sense.'TOKEN EXPIRED' = 'x'", "sense: there is no sense data 'x'"),
    ("fault = [{command = 'read', stattus = 'busy'}]", "fault: there is no word 'stattus'; did you mean status?"),
    ("title = 'two\\nlines'\nsources = 1", "sources: want a list of texts"),
    ('title = "two\\nlines"', "title: want a text of one line"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_an_error_is_one_line_that_names_the_setting(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(text)
    assert message in str(error.value)
    assert str(error.value).isprintable()


def test_the_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text("colour = 1")
    with pytest.raises(ConfigError, match=f"^{path}: unknown key 'colour'"):
        find_personality(str(path))
    with pytest.raises(ConfigError, match="No such file"):
        find_personality("missing.toml", tmp_path)
    with pytest.raises(ConfigError, match="there is no personality 'lioo'; did you mean lio"):
        find_personality("lioo")


def test_a_path_in_a_configuration_is_relative_to_its_folder(tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_text("inquiry.vendor = 'OURS'")
    assert config_of({"personality": "ours.toml"}, tmp_path, Config()).personality.unit.vendor == b"OURS    "
    assert config_of({"personality": "LIO"}, tmp_path, Config()).personality.name == "lio"


def test_every_setting_has_a_field_in_its_part_of_the_array() -> None:
    for word in WORDS:
        assert word.field in FIELDS_OF[word.place].__dataclass_fields__, word.name
    assert len({word.name for word in WORDS}) == len(WORDS)


@pytest.mark.parametrize("name", known_personalities())
def test_a_personality_of_the_package_explains_itself(name: str) -> None:
    found = find_personality(name)
    assert found.title
    assert found.description.endswith(".")
    assert found.settings


def test_only_names_the_commands_that_stay() -> None:
    table = DeviceServer(standard_commands()).commands
    known = {(row.operation_code, row.service_action) for row in table.rows()}
    assert known <= ALL_COMMANDS
    table.restrict(read("commands.only = ['READ', 'INQUIRY']").missing_commands, {})
    assert [row.name for row in table.rows()] == ["READ(6)", "INQUIRY", "READ(10)", "READ(16)", "READ(12)"]
    assert not table.has_usual_transfers


def test_the_zero_fields_become_reserved_bits_that_are_reported() -> None:
    table = DeviceServer(standard_commands()).commands
    table.restrict((), read("zero-fields = {'WRITE(10)' = ['FUA', 'dpo'], 'FORMAT UNIT' = ['fmtdata']}").forbidden_bits)
    usage = {row.name: row.usage for row in table.rows()}
    assert usage["WRITE(10)"].hex() == "2a00ffffffff3fffff00"
    assert not usage["FORMAT UNIT"][1] & 0x10
    together = read("zero-fields = {WRITE = ['FUA'], 'WRITE(10)' = ['DPO']}").forbidden_bits
    assert {code: bits[1] for code, bits in together.items()} == {(0x2A, None): 0x18, (0x8A, None): 8, (0xAA, None): 8}
    assert table.has_usual_transfers


def test_limits_are_those_of_the_array_where_the_personality_reports_none() -> None:
    own = block_limits_for(512)
    unit = read("block-limits = {maximum-transfer = 'unlimited', maximum-write-same = 0, maximum-unmap = '1M'}").unit
    reported, enforced = unit.reported_limits(512), unit.enforced_limits(512)
    assert (reported.max_transfer_blocks, enforced.max_transfer_blocks) == (0xFFFF_FFFF, own.max_transfer_blocks)
    assert (reported.max_write_same_blocks, enforced.max_write_same_blocks) == (0, own.max_write_same_blocks)
    assert (reported.max_unmap_blocks, enforced.max_unmap_blocks) == (2048, 2048)
    assert unit.reported_limits(4096).max_unmap_blocks == 256


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from([word.field for word in WORDS if word.place is Place.LIMIT]), st.integers(0, 1 << 62)))
def test_enforced_limits_never_exceed_those_of_the_array(limits: dict[str, int]) -> None:
    unit = UnitPersonality(limits=limits)
    for block_bytes in (512, 4096):
        own, enforced = block_limits_for(block_bytes), unit.enforced_limits(block_bytes)
        for name in BlockLimits.__dataclass_fields__:
            assert getattr(enforced, name) <= getattr(own, name)


def test_what_the_owner_or_the_personality_forbids_is_forbidden() -> None:
    both = Config(personality=read("token-copy.zero-token = false"), report_token_causes=False)
    options = copy_options_of(both)
    assert (options.zero_token_accepted, options.token_causes_reported) == (False, False)
    owner = Config(personality=read("token-copy.zero-token = true"), accept_zero_token=False)
    assert not copy_options_of(owner).zero_token_accepted
    assert copy_options_of(Config()) == CopyOptions()
    assert copy_limits_of(Config()) == CopyLimits()


def test_copies_get_their_limits_and_options() -> None:
    text = "token-copy = {maximum-ranges = 8, rod-type = 'access upon reference'}\nextended-copy.maximum-cscds = 2"
    config = Config(personality=read(text), copy_budget_s=1.0)
    limits = copy_limits_of(config)
    assert (limits.max_range_descriptors, limits.max_cscd_descriptors, limits.command_budget_s) == (8, 2, 1.0)
    assert copy_options_of(config).rod_types is ACCESS_UPON_REFERENCE_TYPES


def test_sense_data_is_named_or_numbered() -> None:
    found = read("sense = {'5/23/07' = 'token unknown', 'WRITE PROTECTED' = '3/11/00'}").conditions
    assert found[TOKEN_EXPIRED] == TOKEN_UNKNOWN
    assert len(found) == 2


def test_rules_have_the_name_of_the_personality_before_theirs() -> None:
    text = "fault = [{command = 'read', status = 'busy'}, {name = 'late', command = 'read', delay = 1}]"
    assert [rule["name"] for rule in read(text).faults] == ["ours.1", "ours.late"]
    assert [setting.value for setting in read(text).settings] == ["command=read status=busy", "command=read delay=1"]


@pytest.mark.parametrize(
    ("block_bytes", "personality", "wanted"), [(512, 4096, 4096), (4096, 512, 4096), (512, None, 512), (4096, 4096, 4096)]
)
def test_the_block_length_is_that_of_the_personality_unless_another_was_chosen(
    block_bytes: int, personality: int | None, wanted: int
) -> None:
    lun = LunConfig("a", 1 << 20, block_bytes, grows=False, compression="lz4")
    found = with_block_length(lun, Personality(block_bytes=personality))
    assert (found.block_bytes, found.size_bytes, found.grows, found.compression) == (wanted, 1 << 20, False, "lz4")


def test_a_size_must_fit_the_block_length() -> None:
    with pytest.raises(ConfigError, match="size 1536 is not a whole number of 4096-byte blocks"):
        with_block_length(LunConfig("a", 1536), Personality(block_bytes=4096))
    assert with_block_length(LunConfig("a", 1536), NO_PERSONALITY) == LunConfig("a", 1536)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3), max_leaves=4
)


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(["title", "sources", "fault", "sense", "zero-fields", *{word.section for word in WORDS}]),
        st.dictionaries(st.sampled_from([word.key for word in WORDS]), values, max_size=3) | values,
        max_size=3,
    )
)
def test_no_table_causes_another_error(table: dict[str, Any]) -> None:
    said = ""
    try:
        personality_of("ours", table)
    except ConfigError as error:
        said = str(error)
    assert said.isprintable()
