"""Conversion of the JSON file that targetcli saves, usually /etc/target/saveconfig.json."""

import json
from collections.abc import Mapping
from typing import Any

from odx_target.cli.configuration.importing.imported import Imported, closed, merged
from odx_target.target.config.access_settings import AccessRule, MappedLun, initiator_of
from odx_target.target.config.chap import ChapUser, TargetChap
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import parse_iqn
from odx_target.target.config.settings import Portal, TargetConfig


def import_targetcli(text: str) -> Imported:
    """Return the settings in the text of a file. Raises ConfigError if the text is not such a file."""
    imported = Imported()
    try:
        data = json.loads(text)
        stores = {f"/backstores/{each['plugin']}/{each['name']}": each for each in data["storage_objects"]}
        for target in data["targets"]:
            if target["fabric"] == "iscsi":
                imported.targets += _targets(imported, stores, target)
            else:
                imported.notes.append(f"target {target['wwn']} is not an iSCSI target")
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ConfigError(f"this is not a file that targetcli has saved: {error!r}") from error
    return imported


def _targets(imported: Imported, stores: Mapping[str, Any], target: Mapping[str, Any]) -> list[TargetConfig]:
    name = parse_iqn(target["wwn"])
    enabled = [each for each in target["tpgs"] if each.get("enable", True)]
    for portal_group in target["tpgs"]:
        if portal_group not in enabled[:1]:
            imported.notes.append(f"target {name}: portal group {portal_group.get('tag')} is left out; a target has one")
    return [_target(imported, stores, name, portal_group) for portal_group in enabled[:1]]


def _target(imported: Imported, stores: Mapping[str, Any], name: str, portal_group: Mapping[str, Any]) -> TargetConfig:
    volumes = {int(each["index"]): _volume(imported, stores, each["storage_object"]) for each in portal_group["luns"]}
    attributes = portal_group.get("attributes", {})
    acls = portal_group.get("node_acls", [])
    rules = [_rule(each, volumes) for each in acls]
    if int(attributes.get("generate_node_acls", 0)):
        read_only = bool(int(attributes.get("demo_mode_write_protect", 1)))
        luns = tuple(MappedLun(index, volume, read_only) for index, volume in sorted(volumes.items()))
        rules.append(AccessRule(("*",), luns))
    portals = tuple(Portal(_host(each["ip_address"]), int(each["port"])) for each in portal_group.get("portals", []))
    users, own = _chap(portal_group, acls) if int(attributes.get("authentication", 0)) else ((), None)
    if int(attributes.get("authentication", 0)) and not users:
        imported.notes.append(f"target {name}: no initiator may log in, because the target demands CHAP but has no CHAP user")
        rules = []
    if not portals:
        imported.notes.append(f"target {name} had no portal; review its portals")
    return closed(TargetConfig(name, portals or None, chap_users=users, target_chap=own), rules)


def _host(address: str) -> str:
    return address.strip("[]")


def _volume(imported: Imported, stores: Mapping[str, Any], path: str) -> str:
    store = stores[path]
    size_bytes = int(store["size"]) if store.get("size") else None
    block_bytes = int(store.get("attributes", {}).get("block_size", 512))
    name = imported.add_volume(path, size_bytes, block_bytes)
    if store.get("readonly"):
        imported.notes.append(f"{name} was read-only; `odx-target volume read-only POOL {name} on` makes it read-only")
    return name


def _rule(acl: Mapping[str, Any], volumes: Mapping[int, str]) -> AccessRule:
    mapped = sorted(acl.get("mapped_luns", []), key=lambda each: int(each["index"]))
    luns = [MappedLun(int(each["index"]), volumes[int(each["tpg_lun"])], bool(each.get("write_protect"))) for each in mapped]
    return AccessRule((initiator_of(acl["node_wwn"]),), tuple(luns))


def _chap(portal_group: Mapping[str, Any], acls: list[Mapping[str, Any]]) -> tuple[tuple[ChapUser, ...], TargetChap | None]:
    users = [
        ChapUser(each["chap_userid"], each["chap_password"].encode(), initiator)
        for each, initiator in [*((acl, initiator_of(acl["node_wwn"])) for acl in acls), (portal_group, None)]
        if each.get("chap_userid") and each.get("chap_password")
    ]
    mutual = [each for each in (*acls, portal_group) if each.get("chap_mutual_userid") and each.get("chap_mutual_password")]
    own = [TargetChap(each["chap_mutual_userid"], each["chap_mutual_password"].encode()) for each in mutual]
    return merged(users), own[0] if own and users else None
