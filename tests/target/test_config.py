import os
import re
from pathlib import Path

import pytest

from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import (
    MAX_LUN_BYTES,
    MAX_LUNS,
    MIN_POOL_LIMIT_BYTES,
    check_luns,
    parse_cleaning_share,
    parse_copy_rate,
    parse_iqn,
    parse_lun,
    parse_metrics_address,
    parse_pool_limit,
    parse_portal,
    parse_size,
    parse_soft_thresholds,
)
from odx_target.target.config.settings import Config, LunConfig, Portal, ServeConfig
from odx_target.target.config.settings_file import load_config, load_serve_config
from odx_target.target.config.toml_file import MAX_FILE_BYTES
from tests.target.running import LUNS, running


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [("512", 512), ("64K", 65536), ("10M", 10 << 20), ("1G", 1 << 30), ("2T", 2 << 40), ("1g", 1 << 30), ("4KiB", 4096)],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "K", "1.5G", "-1", "1X", "1 2", "0x10", "9" * 20, "\u0663M"])
def test_wrong_sizes_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="size"):
        parse_size(text)


@pytest.mark.parametrize("value", [[], [1], [99], [80, 95], [10, 20, 30, 40]])
def test_soft_thresholds(value: list[int]) -> None:
    assert parse_soft_thresholds(value) == tuple(value)


@pytest.mark.parametrize("value", [80, "80", [0], [100], [95, 80], [80, 80], [True], ["80"], [1.5], [1, 2, 3, 4, 5], None, {}])
def test_wrong_soft_thresholds_are_refused(value: object) -> None:
    with pytest.raises(ConfigError, match="soft-thresholds: want"):
        parse_soft_thresholds(value)


@pytest.mark.parametrize(
    ("text", "lun"),
    [
        ("a=1M", LunConfig("a", 1 << 20, 512)),
        ("a.b-c_1=512,block=512", LunConfig("a.b-c_1", 512, 512)),
        ("d=8K,block=4096", LunConfig("d", 8192, 4096)),
        ("e=8K,compression=lz4", LunConfig("e", 8192, compression="lz4")),
        ("e=8K,compression=zstd,block=4096", LunConfig("e", 8192, 4096, compression="zstd")),
        ("e=8K,block=512,compression=off", LunConfig("e", 8192, compression="off")),
        (f"p={MAX_LUN_BYTES}", LunConfig("p", MAX_LUN_BYTES, 512)),
    ],
)
def test_luns(text: str, lun: LunConfig) -> None:
    assert parse_lun(text) == lun


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a=",
        "=1M",
        "a=1M,block=1024",
        "a=1M,blocks=512",
        "a=1M,block=",
        "a=1M,",
        "a=1M,block=512,block=4096",
        "a=1M,compression=lz4,compression=off",
        "a=1M,compression=best",
        "a=1M,compression",
        "a=1M,block=\u00b2",
        "a=513",
        "a=0",
        "a=512,block=4096",
        "-a=1M",
        "a b=1M",
        f"{'n' * 65}=1M",
        f"p={MAX_LUN_BYTES + 512}",
    ],
)
def test_wrong_luns_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="LUN"):
        parse_lun(text)


def test_a_name_stands_for_one_lun() -> None:
    with pytest.raises(ConfigError, match="twice"):
        check_luns([LunConfig("a", 512), LunConfig("a", 512)])


def test_the_number_of_luns_is_limited() -> None:
    luns = [LunConfig(f"l{number}", 512) for number in range(MAX_LUNS + 1)]
    assert len(check_luns(luns[:-1])) == MAX_LUNS
    with pytest.raises(ConfigError, match="limit"):
        check_luns(luns)


@pytest.mark.parametrize(
    ("text", "portal"),
    [
        ("127.0.0.1:0", Portal("127.0.0.1", 0)),
        ("localhost", Portal("localhost", 3260)),
        ("[::1]:3260", Portal("::1", 3260)),
        ("[::1]", Portal("::1", 3260)),
    ],
)
def test_portals(text: str, portal: Portal) -> None:
    assert parse_portal(text) == portal
    assert parse_portal(str(portal)) == portal


@pytest.mark.parametrize("text", ["", ":3260", "h:65536", "h:x", "::1:3260", "[::1", "h:1:2", "h:\u0663"])
def test_wrong_portals_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="portal"):
        parse_portal(text)


@pytest.mark.parametrize("port", ["65536", "99999", "100000", "9" * 5000])
def test_a_port_that_cannot_be_is_called_that(port: str) -> None:
    with pytest.raises(ConfigError, match="want a port from 0 to 65535"):
        parse_portal(f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    "text",
    ["iqn.2026-11.io.odx-target:array", "iqn.2001-04.com.example", "eui.02004567A425678D", "IQN.2026-11.IO.A:B"],
)
def test_target_names_are_kept_in_small_letters(text: str) -> None:
    assert parse_iqn(text) == text.lower()


@pytest.mark.parametrize(
    "text",
    ["", "array", "iqn.2026-11", "iqn.26-11.io.a", "iqn.2026-13.io.a", "iqn.2026-11.io.ä", "iqn.2026-11.io.a:" + "x" * 220],
)
def test_wrong_target_names_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="target name"):
        parse_iqn(text)


def test_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "array.toml"
    path.write_text(
        'pool = "pool"\nportal = ["127.0.0.1:0", "[::1]:0"]\niqn = "iqn.2026-11.io.a:b"\npool-limit = "10G"\n'
        'capacity-tier = "slow"\ncapacity-limit = "10T"\ncapacity-compression = "lz4"\n'
        'log-level = "debug"\nstrict-list-identifiers = true\ncopy-budget = 2.5\ncopy-rate = "64M"\n'
        "step-aside-copies = 8\nstep-aside-latency = 0.05\n"
        'memory-limit = "1G"\nsoft-thresholds = [50, 75]\npolling = false\ncleaning = false\ncleaning-share = 10\n'
        'report-token-causes = false\naccept-zero-token = false\nremote-luns = ["b"]\ntrace = "seen.txt"\n'
        '[[lun]]\nname = "a"\nsize = "1M"\n[[lun]]\nname = "b"\nsize = 8192\nblock = 4096\n'
        '[[lun]]\nname = "c"\nsize = 8192\ncompression = "lz4"\ntier = "capacity"\n'
    )
    assert load_config(path) == Config(
        pool_dir=tmp_path / "pool",
        capacity_tier=tmp_path / "slow",
        capacity_limit_bytes=10 << 40,
        capacity_compression="lz4",
        luns=(
            LunConfig("a", 1 << 20, 512),
            LunConfig("b", 8192, 4096),
            LunConfig("c", 8192, compression="lz4", tier="capacity"),
        ),
        portals=(Portal("127.0.0.1", 0), Portal("::1", 0)),
        iqn="iqn.2026-11.io.a:b",
        pool_limit_bytes=10 << 30,
        memory_limit_bytes=1 << 30,
        soft_thresholds=(50, 75),
        polling=False,
        cleaning=False,
        cleaning_share=0.1,
        log_level="debug",
        strict_list_identifiers=True,
        copy_budget_s=2.5,
        copy_rate_bytes_per_s=64 << 20,
        step_aside_copies=8,
        step_aside_latency_s=0.05,
        report_token_causes=False,
        accept_zero_token=False,
        remote_luns=("b",),
    )


def test_what_is_for_serve_alone(tmp_path: Path) -> None:
    path = tmp_path / "array.toml"
    path.write_text('trace = "t"\npcap = "/p"\npcap-snap-length = 128\ncontrol = "c"\niqn = "iqn.2026-11.io.a"\n')
    assert load_serve_config(path) == ServeConfig(tmp_path / "t", Path("/p"), 128, tmp_path / "c")
    assert load_config(path) == Config(iqn="iqn.2026-11.io.a")
    path.write_text("nonsense = 1")
    with pytest.raises(ConfigError, match="unknown key"):
        load_serve_config(path)


@pytest.mark.parametrize(
    ("value", "bytes_per_s"),
    [("none", None), ("128K", 131072), (131072, 131072), ("1G", 1 << 30), ("131073", 131073), ("1024T", 1 << 50)],
)
def test_copy_rates(value: object, bytes_per_s: int | None) -> None:
    assert parse_copy_rate(value) == bytes_per_s


@pytest.mark.parametrize("value", ["", "127K", "None", 0, 131071, -1, True, 1.5, None, "1M/s", (1 << 50) + 1, 10**400])
def test_wrong_copy_rates_are_refused(value: object) -> None:
    with pytest.raises(ConfigError):
        parse_copy_rate(value)


@pytest.mark.parametrize(
    "text",
    [
        "pool = 1",
        'pool = ""',
        'pool = "a\\u0000b"',
        "nonsense = 1",
        "lun = 1",
        'lun = ["a"]',
        '[[lun]]\nname = "a"',
        '[[lun]]\nname = "a"\nsize = "1M"\nfoo = 1',
        '[[lun]]\nname = "a"\nsize = true',
        '[[lun]]\nname = "a"\nsize = "1M"\nblock = "512"',
        '[[lun]]\nname = "a"\nsize = "1M"\ncompression = "best"',
        '[[lun]]\nname = "a"\nsize = "1M"\ncompression = 1',
        "portal = []",
        "portal = [1]",
        'log-level = "loud"',
        'strict-list-identifiers = "yes"',
        "copy-budget = 0",
        "copy-budget = true",
        "copy-budget = nan",
        "copy-rate = 1",
        "step-aside-copies = 0",
        "step-aside-copies = true",
        "step-aside-copies = 1025",
        "step-aside-latency = 0",
        'step-aside-latency = "50ms"',
        "soft-thresholds = 80",
        "soft-thresholds = [100]",
        "memory-limit = 1",
        "memory-limit = true",
        "memory-limit = -1",
        'memory-limit = "319M"',
        'memory-limit = "2T"',
        'memory-limit = "none"',
        "map-memory = 1",
        'map-memory = "15M"',
        'map-memory = "2T"',
        'map-memory = "none"',
        "copy-rate = false",
        "polling = 0",
        "capacity-tier = 1",
        'capacity-tier = ""',
        'capacity-limit = "1M"',
        'capacity-compression = "best"',
        "capacity-compression = 1",
        '[[lun]]\nname = "a"\nsize = "1M"\ntier = "slow"',
        '[[lun]]\nname = "a"\nsize = "1M"\ntier = 1',
        "cleaning = 1",
        'cleaning = "off"',
        "cleaning-share = 0",
        "cleaning-share = 101",
        "cleaning-share = 0.25",
        "cleaning-share = true",
        'cleaning-share = "25"',
        "report-token-causes = 1",
        'accept-zero-token = "no"',
        'remote-luns = "a"',
        "remote-luns = [1]",
        "trace = 1",
        'pcap = ""',
        "pcap-snap-length = 127",
        "pcap-snap-length = 262145",
        'pcap-snap-length = "128"',
        "control = []",
        "pool-limit = -1",
        "iqn = 7",
        "not toml",
        "pool-limit = " + "1" * 5000,
        "copy-rate = " + "1" * 400,
        "lun = " + "[" * 5000 + "]" * 5000,
        "\x00",
        'iqn = "\u00ff"',
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "array.toml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


HUGE_KEY = "a" + ".a" * 20_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HUGE_KEY} = 1", "line 1: a key has at most 16 parts"),
        (HUGE_KEY, "at most 16 parts"),
        (f"\n[{HUGE_KEY}]", "line 2: a key has at most 16 parts"),
        (f"x = {{ {HUGE_KEY} = 1 }}", "at most 16 parts"),
        ("a" + " . 'a'" * 16 + " = 1", "at most 16 parts"),
        (f"'{HUGE_KEY}' = 1", "unknown key"),
        ("a" + ".a" * 15 + " = 1", "unknown key 'a'"),
        (f"iqn = '{HUGE_KEY}'", "target name"),
        ('iqn = "' + '\\"' * 200_000, "Unterminated string"),
        ("copy-rate = 9223372036854775808", "copy-rate: an integer has at most 64 bits"),
        ("x = [{ y = [-9223372036854775809] }]", "y: an integer has at most 64 bits"),
        ("[[target-port-group]]\nnumber = 0x" + "f" * 5000, "number: an integer has at most 64 bits"),
        ("x = [9223372036854775807, -9223372036854775808]", "unknown key 'x'"),
        ("x = " + "[" * 100_000, "nested too deeply"),
        ("x = " + "{a = " * 50_000, "nested too deeply"),
        ("#" * (MAX_FILE_BYTES + 1), f"more than {MAX_FILE_BYTES} bytes are not a configuration file"),
    ],
    ids=lambda value: value[:30],
)
def test_a_file_that_would_take_the_parser_long_is_refused_at_once(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "array.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(said)):
        load_config(path)


@pytest.mark.parametrize(
    "text",
    ["# " + "a.b" * 100, f"iqn = 'iqn.2026-11.io.a:{'b.' * 90}b' # {HUGE_KEY}", f"# don't {HUGE_KEY}", "#" * MAX_FILE_BYTES],
)
def test_comments_and_values_have_as_many_dots_as_they_like(tmp_path: Path, text: str) -> None:
    path = tmp_path / "array.toml"
    path.write_text(text)
    load_config(path)


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "array.toml"
    path.write_text('\ufefflog-level = "debug"\r\n')
    assert load_config(path).log_level == "debug"


def test_what_is_no_file_is_one_clear_line_and_nobody_waits(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, said in ((pipe, "a regular file"), (Path("/dev/zero"), "a regular file"), (tmp_path, "directory")):
        with pytest.raises(ConfigError, match=said) as caught:
            load_config(path)
        assert str(caught.value).startswith(f"{path}: ")
    (tmp_path / "utf-16.toml").write_text("pool = 'a'", encoding="utf-16")
    with pytest.raises(ConfigError, match="byte 0 is not UTF-8"):
        load_config(tmp_path / "utf-16.toml")


@pytest.mark.parametrize("value", [MIN_POOL_LIMIT_BYTES, "2M", "1P"])
async def test_pool_limits_are_those_of_the_store(tmp_path: Path, value: object) -> None:
    limit_bytes = parse_pool_limit(value)
    config = Config(luns=(LunConfig("a", 512),), pool_limit_bytes=limit_bytes, pool_dir=tmp_path / "pool")
    async with running(config) as array:
        assert array.pool.status().limit_bytes == limit_bytes


@pytest.mark.parametrize("value", [MIN_POOL_LIMIT_BYTES - 1, "0", "", 0, -1, True, None])
def test_wrong_pool_limits_are_refused(value: object) -> None:
    with pytest.raises(ConfigError, match=r"limit|size"):
        parse_pool_limit(value)


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("9100", "127.0.0.1:9100"), ("127.0.0.1:0", "127.0.0.1:0"), ("[::1]:9100", "[::1]:9100"), ("localhost:1", "localhost:1")],
)
def test_addresses_of_metrics(text: str, expected: str) -> None:
    assert str(parse_metrics_address(text)) == expected


@pytest.mark.parametrize("text", ["", "localhost", "99999", "[::1]", ":9100", "a b:1", "127.0.0.1:99999", "\u0661\u0662"])
def test_no_addresses_of_metrics(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_metrics_address(text)


async def test_the_cleaner_follows_the_settings() -> None:
    async with running(Config(luns=LUNS, cleaning=False, cleaning_share=0.1)) as array:
        cleaner = array.pool.cleaner  # type: ignore[attr-defined]
        assert cleaner._pause_share == pytest.approx(9.0)
        assert not cleaner._need.is_enabled
    async with running() as array:
        assert array.pool.cleaner._need.is_enabled  # type: ignore[attr-defined]


@pytest.mark.parametrize(("percent", "share"), [(1, 0.01), (25, 0.25), (100, 1.0)])
def test_cleaning_shares(percent: int, share: float) -> None:
    assert parse_cleaning_share(percent) == pytest.approx(share)


@pytest.mark.parametrize("polling", [True, False])
async def test_the_setting_of_polling_reaches_the_hub(polling: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    async with running(Config(luns=LUNS, polling=polling)) as array:
        assert array._listener._hub.polls is polling
