from pathlib import Path

import pytest

from odx_target.target.config import (
    LARGEST_LUN_BYTES,
    MOST_LUNS,
    Config,
    ConfigError,
    LunConfig,
    Portal,
    ServeConfig,
    check_luns,
    load_config,
    load_serve_config,
    parse_copy_rate,
    parse_iqn,
    parse_lun,
    parse_portal,
    parse_size,
)


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


@pytest.mark.parametrize(
    ("text", "lun"),
    [
        ("a=1M", LunConfig("a", 1 << 20, 512)),
        ("a.b-c_1=512,block=512", LunConfig("a.b-c_1", 512, 512)),
        ("d=8K,block=4096", LunConfig("d", 8192, 4096)),
        (f"p={LARGEST_LUN_BYTES}", LunConfig("p", LARGEST_LUN_BYTES, 512)),
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
        "a=1M,block=\u00b2",
        "a=513",
        "a=0",
        "a=512,block=4096",
        "-a=1M",
        "a b=1M",
        f"{'n' * 65}=1M",
        f"p={LARGEST_LUN_BYTES + 512}",
    ],
)
def test_wrong_luns_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="LUN"):
        parse_lun(text)


def test_a_name_stands_for_one_lun() -> None:
    with pytest.raises(ConfigError, match="twice"):
        check_luns([LunConfig("a", 512), LunConfig("a", 512)])


def test_the_number_of_luns_is_limited() -> None:
    luns = [LunConfig(f"l{number}", 512) for number in range(MOST_LUNS + 1)]
    assert len(check_luns(luns[:-1])) == MOST_LUNS
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


@pytest.mark.parametrize("text", ["iqn.2026-11.io.odx-target:array", "iqn.2001-04.com.example", "eui.02004567A425678D"])
def test_target_names(text: str) -> None:
    assert parse_iqn(text) == text


@pytest.mark.parametrize(
    "text", ["", "array", "iqn.2026-11", "iqn.26-11.io.a", "IQN.2026-11.io.a", "iqn.2026-11.io.a:" + "x" * 220]
)
def test_wrong_target_names_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="target name"):
        parse_iqn(text)


def test_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "array.toml"
    path.write_text(
        'pool = "pool"\nportal = ["127.0.0.1:0", "[::1]:0"]\niqn = "iqn.2026-11.io.a:b"\npool-limit = "10G"\n'
        'log-level = "debug"\nstrict-list-identifiers = true\ncopy-budget = 2.5\ncopy-rate = "64M"\n'
        'report-token-causes = false\naccept-zero-token = false\nremote-luns = ["b"]\ntrace = "seen.txt"\n'
        '[[lun]]\nname = "a"\nsize = "1M"\n[[lun]]\nname = "b"\nsize = 8192\nblock = 4096\n'
    )
    assert load_config(path) == Config(
        pool_dir=tmp_path / "pool",
        luns=(LunConfig("a", 1 << 20, 512), LunConfig("b", 8192, 4096)),
        portals=(Portal("127.0.0.1", 0), Portal("::1", 0)),
        iqn="iqn.2026-11.io.a:b",
        pool_limit_bytes=10 << 30,
        log_level="debug",
        strict_list_identifiers=True,
        copy_budget_s=2.5,
        copy_rate_bytes_per_s=64 << 20,
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
        "portal = []",
        "portal = [1]",
        'log-level = "loud"',
        'strict-list-identifiers = "yes"',
        "copy-budget = 0",
        "copy-budget = true",
        "copy-budget = nan",
        "copy-rate = 1",
        "copy-rate = false",
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


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.toml")
