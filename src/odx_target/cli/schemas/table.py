"""The table of the results that commands print with --json.

A result begins with the field `schema`, its name and version. Within a version, fields are only added. A change after which a
program could no longer read a result gets the next version. The type of a result is imported only to make its schema, so that
no command loads the modules of the others.
"""

from typing import NamedTuple


class Result(NamedTuple):
    """A result: the version of its schema, the module and the name of its TypedDict, and the commands that print it.

    If `is_line` is True, the commands print any number of such results, each on a line of its own.
    """

    version: int
    kind: str
    commands: tuple[str, ...]
    is_line: bool = False


ARRAY = "target.control.answers"
STORAGE = "target.control.storage.answers"
REPLICATION = "target.control.replication.answers"
GROUPS = "target.control.groups.answers"
RECORDING = "target.recording.answers"

RESULTS: dict[str, Result] = {
    "serve": Result(1, "cli.serving.announcement:ServedArray", ("serve",), is_line=True),
    "status": Result(1, "target.control.storage.status_answers:Status", ("status",)),
    "copy": Result(1, "cli.hosts.copy:CopyAnswer", ("copy",)),
    "conformance": Result(1, "conformance.reports.json_document:Document", ("conformance",)),
    "demo": Result(1, "cli.hosts.demo:DemoAnswer", ("demo",)),
    "windows-copy": Result(1, "cli.hosts.windows.report:WindowsCopyAnswer", ("windows-copy",)),
    "esxi-copy": Result(1, "cli.hosts.esxi.report:EsxiCopyAnswer", ("esxi-copy",)),
    "ready": Result(1, "cli.hosts.ready.readiness:ReadyAnswer", ("ready",)),
    "refusal": Result(1, f"{ARRAY}:Explained", ("explain",), is_line=True),
    "initiators": Result(1, f"{ARRAY}:Initiators", ("offload stats",)),
    "luns": Result(1, f"{ARRAY}:Luns", ("manage luns",)),
    "health": Result(1, f"{ARRAY}:Health", ("manage health",)),
    "tokens": Result(1, f"{ARRAY}:ListedTokens", ("manage tokens",)),
    "revoked-token": Result(1, f"{ARRAY}:Revoked", ("manage revoke",)),
    "running-copies": Result(1, f"{ARRAY}:Copies", ("manage copies",)),
    "running-copy": Result(1, f"{ARRAY}:Copy", ("manage cancel",)),
    "sessions": Result(1, f"{ARRAY}:Sessions", ("manage sessions",)),
    "copy-rate": Result(1, f"{ARRAY}:CopyRate", ("manage copy-rate",)),
    "stepping-aside": Result(1, "target.control.storage.status_answers:SteppingAside", ("manage step-aside",)),
    "clock": Result(1, f"{ARRAY}:Clock", ("manage clock", "manage advance-clock")),
    "commands": Result(1, f"{RECORDING}:ListedCommands", ("manage commands",)),
    "cleared-commands": Result(1, f"{RECORDING}:Cleared", ("manage clear-commands",)),
    "offload": Result(1, f"{RECORDING}:OffloadSums", ("manage offload",)),
    "fault": Result(
        1,
        "target.faults.rules:RuleData",
        ("fault add", "fault remove", "fault enable", "fault disable", "fault release"),
    ),
    "faults": Result(1, f"{ARRAY}:Faults", ("fault list", "fault clear")),
    "fault-words": Result(1, "cli.managing.fault:FaultWords", ("fault words",)),
    "personalities": Result(1, "cli.configuration.personality:Personalities", ("personality list",)),
    "personality": Result(1, "cli.configuration.personality:ShownPersonality", ("personality show",)),
    "volume": Result(
        1,
        f"{STORAGE}:Volume",
        (
            "volume create",
            "volume rename",
            "volume resize",
            "volume set",
            "volume delete",
            "volume read-only",
            "lun add",
            "lun remove",
            "lun renumber",
            "snapshot restore",
            "manage add-lun",
            "manage resize",
            "promote",
        ),
    ),
    "volumes": Result(1, f"{STORAGE}:Volumes", ("volume list", "lun list", "clone", "remote clone")),
    "port-group": Result(1, f"{ARRAY}:PortGroup", ("port-group set", "port-group prefer")),
    "port-groups": Result(1, f"{ARRAY}:PortGroups", ("port-group list",)),
    "path-key": Result(1, "cli.paths.path:PathKey", ("path key",)),
    "waiting-path": Result(1, "target.control.path_answers:WaitingPath", ("path add", "path rekey")),
    "path": Result(1, "target.control.path_answers:ListedPath", ("path throttle", "path compress", "path rights")),
    "paths": Result(1, "target.control.path_answers:Paths", ("path list",)),
    "removed-path": Result(1, "target.control.path_answers:RemovedPath", ("path remove",)),
    "import": Result(
        1,
        "target.control.import_answers:Import",
        ("import start", "import rate", "import verify", "import accept", "import cancel"),
    ),
    "imports": Result(1, "target.control.import_answers:Imports", ("import list",)),
    "protection": Result(1, f"{REPLICATION}:Protection", ("protect",)),
    "replication": Result(1, f"{REPLICATION}:Replication", ("remote list",)),
    "path-rates": Result(1, f"{REPLICATION}:PathRates", ("remote graph",)),
    "replicated": Result(1, f"{REPLICATION}:Replicated", ("replicate",)),
    "group": Result(
        1,
        f"{GROUPS}:Group",
        (
            "group create",
            "group status",
            "group switchover",
            "group isolate",
            "group witness",
            "group resync",
            "group remove",
            "group resize",
            "group restore",
        ),
    ),
    "changed-group": Result(1, f"{GROUPS}:ChangedGroup", ("group add",)),
    "groups": Result(1, f"{GROUPS}:Groups", ("group list",)),
    "verified-group": Result(1, f"{GROUPS}:VerifiedGroup", ("group verify",)),
    "promoted-group": Result(1, f"{GROUPS}:PromotedGroup", ("group promote",)),
    "deleted-group": Result(1, f"{GROUPS}:DeletedGroup", ("group delete",)),
    "witness": Result(1, "cli.groups.witness:ServedWitness", ("witness",), is_line=True),
    "snapshot": Result(1, f"{STORAGE}:Snapshot", ("snapshot rename", "snapshot delete", "snapshot hold", "snapshot unhold")),
    "snapshots": Result(1, f"{STORAGE}:Snapshots", ("snapshot list", "reverse", "group snapshot")),
    "snapshot-details": Result(1, f"{STORAGE}:ShownSnapshot", ("snapshot show",)),
    "taken-snapshots": Result(1, f"{STORAGE}:TakenSnapshots", ("snapshot create", "schedule run")),
    "range": Result(1, f"{STORAGE}:Range", ("snapshot diff",), is_line=True),
    "schedule": Result(1, f"{STORAGE}:Schedule", ("schedule add", "schedule change", "schedule remove")),
    "schedules": Result(1, f"{STORAGE}:Schedules", ("schedule list",)),
    "schedule-details": Result(1, f"{STORAGE}:ShownSchedule", ("schedule show",)),
    "assignment": Result(1, f"{STORAGE}:Assignment", ("schedule assign",)),
    "scrub": Result(1, f"{ARRAY}:Scrub", ("pool scrub",)),
    "pool-check": Result(1, "cli.pools.pool:CheckAnswer", ("pool check",)),
    "pool-repair": Result(1, "cli.pools.repair:RepairAnswer", ("pool repair",)),
    "replay": Result(1, "cli.replay.replay:ReplayAnswer", ("replay",)),
    "pool-identity": Result(1, "cli.pools.pool:RenewalAnswer", ("pool renew-identity",)),
    "token": Result(
        1,
        "cli.hosts.token.json_output:TokenAnswer",
        (
            "token info",
            "token populate",
            "token write",
            "token receive",
            "token status",
            "token abort",
            "token list",
            "token run",
        ),
        is_line=True,
    ),
    "configuration": Result(1, "cli.configuration.check_config:ConfigAnswer", ("check-config",)),
    "decoded": Result(
        1, "cli.decode:DecodedAnswer", ("decode cdb", "decode sense", "decode vpd", "decode token", "decode pdu")
    ),
}
"""The results by the names of their schemas, in the order of the commands in the help."""


def schema_name(name: str) -> str:
    """Return the name of a result with its version, which is the field `schema` of the result."""
    return f"{name}/{RESULTS[name].version}"


def result_of(words: str) -> str | None:
    """Return the name of the result of a command such as `volume create`. `words` may also be a name of the table, with or
    without its version. Returns None if there is no such result.
    """
    for name, result in RESULTS.items():
        if words in (name, schema_name(name), *result.commands):
            return name
    return None
