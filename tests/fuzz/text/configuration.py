"""Attacks on the readers of files and texts: settings, configurations of other targets, URLs, and bytes to describe."""

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

from odx_target.cli.configuration.importing.targetcli import import_targetcli
from odx_target.cli.configuration.importing.tgt import import_tgt
from odx_target.cli.configuration.importing.toml_text import toml_text
from odx_target.cli.configuration.sample_config import KEYS
from odx_target.cli.hosts.token.describe import describe_rod_token, descriptions
from odx_target.cli.text.describe_pdu import describe_pdu
from odx_target.initiator.errors import BadUrl
from odx_target.initiator.session.target_address import parse_target_address
from odx_target.initiator.url import parse_url
from odx_target.scsi.describe.data import describe_cdb, describe_sense, describe_vpd
from odx_target.target.config import settings_file, toml_file
from odx_target.target.config.error import ConfigError
from odx_target.target.config.settings import Config, ServeConfig
from tests.fuzz.array.cdb_grammar import cdb
from tests.fuzz.surface import Finding, Script, Step
from tests.fuzz.text.one_line import outcome_of
from tests.fuzz.values import bytes_of, changed_text, number

NOWHERE = Path("/nonexistent")
TABLES = (
    '[[lun]]\nname = "a"\nsize = "1G"\n',
    '[[lun]]\nname = "b"\nsize = 1048576\nblock = 4096\ncompression = "lz4"\ntier = "capacity"\n',
    '[[access]]\ninitiator = "iqn.1994-05.com.redhat:*"\nluns = [{lun = 0, volume = "a", read-only = true}]\n',
    '[[target]]\niqn = "iqn.2026-11.example:t"\nportal = ["[::1]:3261"]\nmax-sessions = 4\n',
    '[[schedule]]\nname = "hourly"\ncalendar = "hourly"\nvolumes = ["a"]\n',
    '[[chap]]\nuser = "u"\nsecret-file = "secret"\n',
    '[[redirect]]\nto = "10.0.0.1:3260"\npermanent = true\n',
    '[announce]\n"127.0.0.1:3260" = "10.0.0.1:3260"\n',
)
TOML_VALUES = (
    "true",
    "1",
    "-1",
    "1.5",
    "inf",
    "nan",
    '""',
    "[]",
    "{}",
    "[1, [2]]",
    "1979-05-27",
    '"\\u0000"',
    "9" * 400,
    "0x7f",
    '"1G"',
)
TARGETCLI = {
    "storage_objects": [{"name": "d", "plugin": "fileio", "dev": "/d", "size": 1 << 30, "attributes": {"block_size": 4096}}],
    "targets": [
        {
            "fabric": "iscsi",
            "wwn": "iqn.2003-01.org:t",
            "tpgs": [
                {
                    "tag": 1,
                    "enable": True,
                    "attributes": {"authentication": 1, "generate_node_acls": 0},
                    "luns": [{"index": 0, "storage_object": "/backstores/fileio/d"}],
                    "node_acls": [
                        {
                            "node_wwn": "iqn.1994-05.com.redhat:c",
                            "chap_userid": "u",
                            "chap_password": "secret-of-u-12",
                            "mapped_luns": [{"index": 3, "tpg_lun": 0, "write_protect": True}],
                        }
                    ],
                    "portals": [{"ip_address": "0.0.0.0", "port": 3260}, {"ip_address": "[::]", "port": 3261}],
                }
            ],
        }
    ],
}
JSON_VALUES = (None, True, 0, -1, 1.5, 1 << 70, "", "x", "\n", [], {}, [[]], {"a": 1}, "iqn.2003-01.org:t", float("inf"))
TGT = (
    "<target iqn.2001-04.com.example:t>",
    "</target>",
    "<backing-store /dev/a>",
    "</backing-store>",
    "<direct-store /dev/b>",
    "    backing-store /srv/a",
    "    lun 7",
    "    block-size 4096",
    "    readonly on",
    "    initiator-address ALL",
    "    initiator-name iqn.1994-05.com.redhat:c",
    "    incominguser user secret-of-user",
    "    outgoinguser array secret-of-array",
    "default-driver iscsi",
    "include /etc/tgt/*.conf",
    "# comment",
)
URL = "iscsi://user%secret@host:3260/iqn.2026-11.example:t/0?target_user=a&target_password=b"
WORDS = ("%", "@", "/", "?", ":", "[", "]", "iscsi://", "[::1]", "3260", "0", "16384", "iqn.", "&", "=", "xn--", "\u3002", "ß")


def new_script(random: Random) -> Script:
    return [new_step(random)]


def new_step(random: Random) -> Step:
    return random.choice(_MAKERS)(random)


def _toml(random: Random) -> Step:
    lines = [f"{key.key} = {key.value}" for key in KEYS if random.random() < 0.15]
    if lines and random.randrange(3) == 0:
        lines[0] = f"{lines[0].partition(' = ')[0]} = {random.choice(TOML_VALUES)}"
    tables = [table for table in TABLES if random.random() < 0.2]
    if tables and random.randrange(2):
        tables[0] = _one_value_changed(random, tables[0])
    text = "\n".join([*lines, *tables])
    return ["toml", changed_text(random, text, TOML_VALUES) if random.randrange(3) == 0 else text]


def _one_value_changed(random: Random, table: str) -> str:
    lines = table.splitlines()
    at = random.randrange(len(lines))
    if " = " in lines[at]:
        lines[at] = f"{lines[at].partition(' = ')[0]} = {random.choice(TOML_VALUES)}"
    return "\n".join(lines) + "\n"


def _targetcli(random: Random) -> Step:
    document: Any = json.loads(json.dumps(TARGETCLI))
    for _ in range(random.randrange(4)):
        _change_json(random, document)
    text = json.dumps(document)
    return ["targetcli", changed_text(random, text) if random.randrange(6) == 0 else text]


def _change_json(random: Random, value: Any) -> None:
    """Change one value anywhere in a document."""
    while isinstance(value, dict | list) and value:
        key = random.choice(sorted(value)) if isinstance(value, dict) else random.randrange(len(value))
        if random.randrange(3) == 0 or not isinstance(value[key], dict | list):
            if random.randrange(4) == 0:
                del value[key]
            else:
                value[key] = random.choice(JSON_VALUES)
            return
        value = value[key]


def _tgt(random: Random) -> Step:
    lines = ["<target iqn.2001-04.com.example:t>", *random.choices(TGT, k=random.randrange(12)), "</target>"]
    text = "\n".join(lines)
    return ["tgt", changed_text(random, text, TGT) if random.randrange(2) else text]


def _url(random: Random) -> Step:
    return [
        random.choice(("url", "address")),
        changed_text(random, random.choice((URL, "10.0.0.1:3260,1", "[::1]:3260,1")), WORDS),
    ]


def _describe(random: Random) -> Step:
    kind = random.choice(("cdb", "sense", "vpd", "token", "pdu"))
    data = cdb(random) if kind == "cdb" else random.randbytes(random.choice((0, 4, 18, 48, 96, 512)))
    if kind == "vpd":
        page = random.choice((0x00, 0x80, 0x83, 0x8F, 0xB0, 0xB1, 0xB2, 0xB3, 0x86, 0x85, 0x87, 0x88))
        data = bytes((0, page)) + number(random, 16).to_bytes(2, "big") + data
    if kind == "sense":
        data = bytes((random.choice((0x70, 0x71, 0x72, 0x73, 0xF0)),)) + data
    return ["describe", kind, data.hex()]


_MAKERS: tuple[Callable[[Random], Step], ...] = (_toml, _toml, _toml, _targetcli, _targetcli, _tgt, _url, _describe, _describe)


def run(script: Script) -> set[str]:
    """Read each text. Raises Finding, and every exception that is not a refusal."""
    outcomes = set()
    for step in script:
        read = _READERS.get(str(step[0])) if step else None
        if read is not None:
            arguments = [*(str(each) for each in step[1:]), "", ""]
            outcomes.add(f"{step[0]} {read(*arguments[:2])}")
    return outcomes


def _read_toml(text: str, _: str) -> str:
    def read() -> None:
        table = toml_file.parse_table(text)
        settings_file.config_of(table, NOWHERE, Config())
        settings_file._from_table(table, NOWHERE, ServeConfig(), settings_file._SERVE_KEYS)

    return outcome_of(read, ConfigError)


def _import(convert: Callable[[str], Any]) -> Callable[[str, str], str]:
    def read(text: str, _: str) -> str:
        def act() -> None:
            converted = toml_text(convert(text))
            try:
                tomllib.loads(converted)
            except ValueError as error:
                raise Finding("the converted configuration is not TOML", f"{error}: {converted[:300]}") from error

        return outcome_of(act, ConfigError)

    return read


def _describe_bytes(kind: str, data: str) -> str:
    content = bytes_of(data)
    known = kind if kind in _DESCRIBE else "pdu"
    return f"{known} {outcome_of(lambda: list(_DESCRIBE[known](content)), ValueError)}"


_DESCRIBE: Mapping[str, Callable[[bytes], Any]] = {
    "cdb": lambda data: describe_cdb(data, descriptions()),
    "sense": describe_sense,
    "vpd": lambda data: describe_vpd(data, descriptions()),
    "token": lambda data: describe_rod_token(data[:512]),
    "pdu": describe_pdu,
}
_READERS: Mapping[str, Callable[[str, str], str]] = {
    "toml": _read_toml,
    "targetcli": _import(import_targetcli),
    "tgt": _import(lambda text: import_tgt(text, lambda _: 1 << 30)),
    "url": lambda text, _: outcome_of(lambda: str(parse_url(text)), BadUrl),
    "address": lambda text, _: outcome_of(lambda: str(parse_target_address(text)), ValueError),
    "describe": _describe_bytes,
}
