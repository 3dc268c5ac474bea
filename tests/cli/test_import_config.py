"""Conversion of the configuration of targetcli and of tgt. The result is read again as a configuration file."""

import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from odx_target.cli.app import application
from odx_target.cli.configuration.importing.imported import NOBODY, Imported
from odx_target.cli.configuration.importing.targetcli import import_targetcli
from odx_target.cli.configuration.importing.tgt import import_tgt
from odx_target.cli.configuration.importing.toml_text import toml_text
from odx_target.target.config.access_settings import AccessRule, MappedLun, find_rule
from odx_target.target.config.chap import ChapUser, TargetChap
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import lun_config
from odx_target.target.config.settings import Config, LunConfig, Portal, TargetConfig
from odx_target.target.config.settings_file import load_config

ONE, TWO, HOST = "iqn.2003-01.org.linux-iscsi.host:one", "iqn.2003-01.org.linux-iscsi.host:two", "iqn.1994-05.com.redhat:client"


def saved(**changes: object) -> dict[str, object]:
    """Return the content of a file of targetcli with one target."""
    portal_group = {
        "tag": 1,
        "enable": True,
        "attributes": {"authentication": 1, "generate_node_acls": 0, "demo_mode_write_protect": 1},
        "luns": [
            {"index": 0, "storage_object": "/backstores/fileio/disk"},
            {"index": 5, "storage_object": "/backstores/block/raw"},
        ],
        "node_acls": [
            {
                "node_wwn": HOST,
                "chap_userid": "user",
                "chap_password": "secret-of-user",
                "chap_mutual_userid": "array",
                "chap_mutual_password": "secret-of-array",
                "mapped_luns": [{"index": 3, "tpg_lun": 5, "write_protect": True}, {"index": 0, "tpg_lun": 0}],
            }
        ],
        "portals": [{"ip_address": "0.0.0.0", "port": 3260}, {"ip_address": "[::]", "port": 3261}],
    }
    return {
        "storage_objects": [
            {"name": "disk", "plugin": "fileio", "dev": "/srv/disk", "size": 1 << 30, "attributes": {"block_size": 4096}},
            {"name": "raw", "plugin": "block", "dev": "/dev/vg/raw", "readonly": True},
        ],
        "targets": [{"fabric": "iscsi", "wwn": ONE, "tpgs": [{**portal_group, **changes}]}],
    }


def read_again(imported: Imported, tmp_path: Path) -> Config:
    path = tmp_path / "array.toml"
    path.write_text(toml_text(imported))
    return load_config(path)


def test_a_file_of_targetcli(tmp_path: Path) -> None:
    imported = import_targetcli(json.dumps(saved()))
    config = read_again(imported, tmp_path)
    assert config == imported.config()
    assert config.iqn == ONE
    assert config.luns == (LunConfig("disk", 1 << 30, 4096),)
    assert imported.sizeless == ["raw"]
    assert config.portals == (Portal("0.0.0.0", 3260), Portal("::", 3261))
    assert config.access == (AccessRule((HOST,), (MappedLun(0, "disk"), MappedLun(3, "raw", read_only=True))),)
    assert config.chap_users == (ChapUser("user", b"secret-of-user", HOST),)
    assert config.target_chap == TargetChap("array", b"secret-of-array")
    text = toml_text(imported)
    assert '#name = "raw"' in text
    assert "# raw was /backstores/block/raw; its data is not copied" in text


def test_the_demo_mode_of_targetcli_admits_everybody(tmp_path: Path) -> None:
    attributes = {"authentication": 0, "generate_node_acls": 1, "demo_mode_write_protect": 0}
    config = read_again(import_targetcli(json.dumps(saved(attributes=attributes, node_acls=[]))), tmp_path)
    assert config.access == (AccessRule(("*",), (MappedLun(0, "disk"), MappedLun(5, "raw"))),)
    assert config.chap_users == ()


def test_a_target_of_targetcli_without_acls_admits_nobody(tmp_path: Path) -> None:
    config = read_again(import_targetcli(json.dumps(saved(node_acls=[]))), tmp_path)
    assert config.access == (AccessRule((NOBODY,), ()),)
    assert [find_rule(config.access, name) for name in (HOST, "eui.0123456789abcdef", "naa.0123456789abcdef")] == [None] * 3


def test_what_is_left_out_is_named() -> None:
    data = saved()
    (target,) = data["targets"]  # type: ignore[misc]
    target["tpgs"] += [{**target["tpgs"][0], "tag": 2}, {**target["tpgs"][0], "tag": 3, "enable": False}]
    data["targets"] = [target, {"fabric": "qla2xxx", "wwn": "naa.1"}]
    notes = import_targetcli(json.dumps(data)).notes
    for words in ("portal group 2", "portal group 3", "naa.1 is not an iSCSI target", "raw was read-only"):
        assert any(words in note for note in notes), words


def test_a_target_of_targetcli_that_demands_chap_without_users_admits_nobody() -> None:
    """The target of Linux refuses every login."""
    acl = {
        "node_wwn": HOST,
        "mapped_luns": [{"index": 0, "tpg_lun": 0}],
        "chap_mutual_userid": "array",
        "chap_mutual_password": "x",
    }
    imported = import_targetcli(json.dumps(saved(node_acls=[acl])))
    assert imported.config().access == (AccessRule((NOBODY,), ()),)
    assert (imported.config().chap_users, imported.config().target_chap) == ((), None)
    assert any("no initiator may log in" in note for note in imported.notes)


def test_initiators_that_share_a_secret_become_one_user() -> None:
    acls = [{"node_wwn": name, "chap_userid": "user", "chap_password": "secret-of-user"} for name in (HOST, f"{HOST}2")]
    config = import_targetcli(json.dumps(saved(node_acls=acls))).config()
    assert config.chap_users == (ChapUser("user", b"secret-of-user"),)
    assert [rule.initiators for rule in config.access] == [(HOST,), (f"{HOST}2",)]


def test_a_target_of_targetcli_without_portals_is_named() -> None:
    assert any("had no portal" in note for note in import_targetcli(json.dumps(saved(portals=[]))).notes)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        '{"storage_objects": 1}',
        '{"storage_objects": [], "targets": [1]}',
        "[]",
        "[" * 99999,
        json.dumps(saved(luns=[{"index": float("inf"), "storage_object": "/backstores/fileio/disk"}])),
    ],
)
def test_a_wrong_file_of_targetcli_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="targetcli"):
        import_targetcli(text)


TGT = f"""
# a comment
default-driver iscsi
include /etc/tgt/conf.d/*.conf

<target {ONE}>
    backing-store /srv/first   # LUN 1
    <backing-store /srv/second>
        lun 7
        readonly 1
        block-size 4096
    </backing-store>
    direct-store /dev/third
    initiator-name {HOST}
    incominguser user "secret of user"
    outgoinguser array secret-of-array
    write-cache off
</target>
<target {TWO}>
    backing-store /srv/first
    initiator-address ALL
</target>
"""
SIZES = {"/srv/first": 10_000, "/srv/second": 8192}


def test_a_file_of_tgt(tmp_path: Path) -> None:
    imported = import_tgt(TGT, SIZES.get)
    config = read_again(imported, tmp_path)
    assert config == imported.config()
    assert config.luns == (LunConfig("first", 9728), LunConfig("second", 8192, 4096))
    assert imported.sizeless == ["third"]
    luns = (MappedLun(1, "first"), MappedLun(7, "second", read_only=True), MappedLun(2, "third"))
    assert config.access == (AccessRule((HOST,), luns),)
    assert config.chap_users == (ChapUser("user", b"secret of user"),)
    assert config.target_chap == TargetChap("array", b"secret-of-array")
    assert config.targets == (TargetConfig(TWO, access=(AccessRule(("*",), (MappedLun(1, "first"),)),), chap_users=()),)
    assert {"left out: default-driver iscsi", f"target {ONE}: left out: write-cache off"} <= set(imported.notes)


def test_addresses_of_initiators_admit_nobody() -> None:
    imported = import_tgt(f"<target {ONE}>\nbacking-store /srv/a\ninitiator-address 192.0.2.1\n</target>", SIZES.get)
    assert imported.config().access == (AccessRule((NOBODY,), ()),)
    assert any("192.0.2.1" in note for note in imported.notes)


@pytest.mark.parametrize(
    "text",
    [
        f"<target {ONE}>",
        "</target>",
        f"<target {ONE}>\n</backing-store>",
        f"<target {ONE}>\nincominguser only\n</target>",
        f"<target {ONE}>\nincominguser user 'secret\n</target>",
        f"<target {ONE}>\n<backing-store /a>\nlun x\n</backing-store>\n</target>",
        f"<target {ONE}>\n<backing-store /a>\nlun {'9' * 5000}\n</backing-store>\n</target>",
        f"<target {ONE}>\n<backing-store /a>\nblock-size -1\n</backing-store>\n</target>",
        "<<",
        "<target host>\n</target>",
    ],
)
def test_a_wrong_file_of_tgt_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        import_tgt(text, SIZES.get)


@given(st.lists(st.text(max_size=80), max_size=6))
def test_names_of_volumes_are_valid_and_different(origins: list[str]) -> None:
    imported = Imported()
    names = {origin: imported.add_volume(origin, 4096) for origin in origins}
    assert len(set(names.values())) == len(names)
    assert [lun_config(name, 4096, 512).name for name in names.values()] == list(names.values())


@given(st.text(max_size=200))
def test_no_text_breaks_the_converters(text: str) -> None:
    for convert in (import_targetcli, lambda given: import_tgt(given, SIZES.get)):
        with suppress(ConfigError):
            convert(text)


USERS = st.fixed_dictionaries(
    {},
    optional={
        "chap_userid": st.sampled_from(["u", "v", ""]),
        "chap_password": st.sampled_from(["short", "secret-of-user", "x" * 300]),
    },
)
ACLS = st.lists(
    st.builds(
        lambda users, name, lun: {"node_wwn": name, "mapped_luns": [{"index": lun, "tpg_lun": 0}], **users},
        USERS,
        st.sampled_from([HOST, HOST.upper(), f"{HOST}2"]),
        st.sampled_from([0, 16383, 16384]),
    ),
    max_size=3,
)


@given(ACLS, st.booleans(), st.sampled_from(["0.0.0.0", "[::1]", "host.example", "bad host", ""]))
def test_each_output_is_valid_or_says_what_must_be_mended(acls: list[object], authentication: bool, host: str) -> None:
    attributes = {"authentication": int(authentication)}
    data = saved(node_acls=acls, attributes=attributes, portals=[{"ip_address": host, "port": 3260}])
    with TemporaryDirectory() as directory:
        source, converted = Path(directory) / "saved.json", Path(directory) / "array.toml"
        source.write_text(json.dumps(data))
        converted.write_text(CliRunner().invoke(application(["import-config"]), ["import-config", str(source)]).output)
        checked = CliRunner().invoke(application(["check-config"]), ["check-config", str(converted)])
        must_be_mended = converted.read_text().startswith("# Mend this file before you serve it: ")
        assert isinstance(checked.exception, ConfigError) == must_be_mended
        if must_be_mended:
            assert str(checked.exception).removeprefix(f"{converted}: ") in converted.read_text().splitlines()[0]


def test_the_command(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.write_bytes(bytes(1536))
    path = tmp_path / "targets.conf"
    path.write_text(f"<target {ONE}>\nbacking-store {store}\n</target>\n")
    run = CliRunner().invoke
    result = run(application(["import-config"]), ["import-config", str(path)], catch_exceptions=False)
    assert "size = 1536" in result.output
    path.write_text(json.dumps(saved()))
    assert "[[access]]" in run(application(["import-config"]), ["import-config", str(path)], catch_exceptions=False).output
    for content in (b"", b"\xff", b"x" * ((16 << 20) + 1)):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"targets\.conf"):
            run(application(["import-config"]), ["import-config", str(path)], catch_exceptions=False)
