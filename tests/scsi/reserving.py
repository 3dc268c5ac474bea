"""Hosts that reserve one logical unit. Their PERSISTENT RESERVE commands are built without the code under test."""

import struct
import tomllib
from collections.abc import Sequence
from pathlib import Path
from random import Random

from odx_target.scsi.commands.blocks.sanitize_job import continue_sanitize
from odx_target.scsi.commands.standard import standard_commands
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply
from odx_target.scsi.reservations.durable import recall
from odx_target.scsi.target_port import iscsi_port
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.scsi.unit.sanitize_operation import recall as recall_sanitize_operation
from odx_target.store.open import PoolOptions, open_pool
from odx_target.store.pool import LogPool
from tests.scsi.array import TARGET_NAME, UnitUnderTest, data_of
from tests.sim.simulated_disk import SimulatedDisk
from tests.sim.virtual_environment import VirtualEnvironment

REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, REGISTER_AND_IGNORE, REGISTER_AND_MOVE = range(8)
READ_KEYS, READ_RESERVATION, REPORT_CAPABILITIES, READ_FULL_STATUS = range(4)
WE, EA, WE_RO, EA_RO, WE_AR, EA_AR = TYPES = (1, 3, 5, 6, 7, 8)

APTPL, ALL_TG_PT, SPEC_I_PT = 0x01, 0x04, 0x08
MOVE_APTPL, UNREG = 0x01, 0x02

CONFLICT = 0x18
RESERVATIONS_PREEMPTED, RESERVATIONS_RELEASED, REGISTRATIONS_PREEMPTED = (0x2A, 3), (0x2A, 4), (0x2A, 5)
INVALID_FIELD_IN_CDB, INVALID_FIELD_IN_LIST = (5, 0x24, 0), (5, 0x26, 0)
LIST_LENGTH_ERROR, INVALID_RELEASE, NO_ROOM = (5, 0x1A, 0), (5, 0x26, 4), (5, 0x55, 4)

TEST_UNIT_READY = "00 00 00 00 00 00"
READ = "28 00 00 00 00 00 00 00 01 00"
WRITE = "2a 00 00 00 00 00 00 00 01 00"
BLOCK = b"\xaa" * 512

_GOLDEN = tomllib.loads((Path(__file__).parents[2] / "fixtures" / "scsi_reservations.toml").read_text())
_BASIC = struct.Struct(">QQ4xB3x")
_MOVE = struct.Struct(">QQxBHI")


def golden(name: str, key: str = "data") -> bytes:
    """Return bytes that were not made by this project."""
    return bytes.fromhex(_GOLDEN[name][key])


def port_name(host: int) -> str:
    return f"iqn.2001-04.com.example:host{host},i,0x00023d00000{host}"


def transport_id(name: str, tpid_format: int = 1) -> bytes:
    text = name.encode() + b"\0"
    text = text.ljust(max(20, (len(text) + 3) // 4 * 4), b"\0")
    return bytes((tpid_format << 6 | 5, 0)) + len(text).to_bytes(2, "big") + text


def basic_list(key: int, new_key: int = 0, flags: int = 0, more: bytes = b"") -> bytes:
    return _BASIC.pack(key, new_key, flags) + more


def move_list(key: int, new_key: int, destination: bytes, flags: int = 0, port: int = 1) -> bytes:
    return _MOVE.pack(key, new_key, flags, port, len(destination)) + destination


def specified(*transport_ids: bytes) -> bytes:
    """Build the additional parameter data that follows if SPEC_I_PT is set."""
    return sum(map(len, transport_ids)).to_bytes(4, "big") + b"".join(transport_ids)


def out_cdb(service_action: int, length: int, kind: int = 0, scope: int = 0) -> bytes:
    return bytes((0x5F, service_action, scope << 4 | kind, 0, 0)) + length.to_bytes(4, "big") + b"\0"


def in_cdb(service_action: int, allocation_bytes: int = 0xFFFF) -> bytes:
    return bytes((0x5E, service_action, 0, 0, 0, 0, 0)) + allocation_bytes.to_bytes(2, "big") + b"\0"


class EveryPort:
    """Target ports through which every initiator may use every logical unit, except those in `closed`."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self.closed: set[tuple[str, int]] = set()

    def relative_target_ports(self) -> Sequence[int]:
        return self._ports

    def ports_of(self, initiator_port_name: str, logical_unit: LogicalUnit) -> list[int]:
        return [port for port in self._ports if self.may_use(initiator_port_name, port, logical_unit)]

    def has_several_ports(self, device_name: str) -> bool:
        return len(self._ports) > 1

    def may_use(self, initiator_port_name: str, relative_target_port: int, _logical_unit: LogicalUnit) -> bool:
        return (initiator_port_name, relative_target_port) not in self.closed


class Cluster(UnitUnderTest):
    """A logical unit with a memory volume, and hosts 0, 1... without pending unit attentions.

    If there are several target ports, the hosts are spread over them: of six hosts with two ports, hosts 0 and 3 are the same
    initiator port at the target ports 1 and 2.
    """

    def __init__(self, count_hosts: int = 3, count_ports: int = 1) -> None:
        super().__init__()
        self.set_ports(count_hosts, count_ports)
        self.hosts = [self.attach(host) for host in range(count_hosts)]

    def set_ports(self, count_hosts: int, count_ports: int) -> None:
        self.count_ports, self.count_initiators = count_ports, count_hosts // count_ports
        self.ports = EveryPort(range(1, count_ports + 1))

    def initiator_of(self, host: int) -> str:
        """Return the name of the initiator port of a host."""
        return port_name(host % self.count_initiators)

    def port_of(self, host: int) -> int:
        """Return the relative target port of a host."""
        return 1 + host // self.count_initiators

    def attach(self, host: int) -> Nexus:
        """Log a host in, for the first time or again, and return its nexus."""
        self.server.port_access = self.ports
        name, port = self.initiator_of(host), self.port_of(host)
        nexus = Nexus(name.partition(",")[0], name, iscsi_port(TARGET_NAME, port, port), {0: self.logical_unit})
        self.server.attach(nexus)
        nexus.unit_attentions.clear()
        return nexus

    def send(self, host: int, service_action: int, data: bytes, *, kind: int = 0, scope: int = 0) -> Reply:
        """Send PERSISTENT RESERVE OUT with any parameter list."""
        return self.command(out_cdb(service_action, len(data), kind, scope), data, nexus=self.hosts[host])

    def out(self, host: int, service_action: int, key: int = 0, new_key: int = 0, flags: int = 0, *, kind: int = 0) -> Reply:
        """Send PERSISTENT RESERVE OUT with a basic parameter list."""
        return self.send(host, service_action, basic_list(key, new_key, flags), kind=kind)

    def move(self, host: int, key: int, new_key: int, to: int, flags: int = 0) -> Reply:
        return self.send(host, REGISTER_AND_MOVE, move_list(key, new_key, transport_id(port_name(to)), flags))

    def register(self, *hosts: int, flags: int = 0) -> None:
        """Register each host n with the key n + 1."""
        for host in hosts:
            assert self.out(host, REGISTER, 0, host + 1, flags).status == 0

    def reserve(self, host: int, kind: int) -> None:
        assert self.out(host, RESERVE, host + 1, kind=kind).status == 0

    def read(self, service_action: int) -> bytes:
        """Send PERSISTENT RESERVE IN from another nexus, so that it reports no unit attention of a host."""
        self.nexus.unit_attentions.clear()
        return data_of(self.command(in_cdb(service_action)))

    def generation(self) -> int:
        return self.logical_unit.reservations.generation

    def keys(self) -> list[int]:
        data = self.read(READ_KEYS)
        assert int.from_bytes(data[4:8], "big") == len(data) - 8
        return [int.from_bytes(data[at : at + 8], "big") for at in range(8, len(data), 8)]

    def reservation(self) -> tuple[int, int] | None:
        """Return the key and the type that READ RESERVATION reports; None if there is no reservation."""
        data = self.read(READ_RESERVATION)
        assert len(data) == 8 + int.from_bytes(data[4:8], "big")
        return (int.from_bytes(data[8:16], "big"), data[21]) if len(data) > 8 else None

    def pending(self, host: int) -> list[tuple[int, int]]:
        """Return the pending unit attentions of a host."""
        return list(self.hosts[host].unit_attentions.get(0, []))

    def quiet(self) -> None:
        for nexus in self.hosts:
            nexus.unit_attentions.clear()


class ClusterOnDisk(Cluster):
    """A cluster on the real store and a simulated disk. After `kill` or `lose_power`, everything starts again."""

    def __init__(self, count_hosts: int = 3, seed: int = 0, count_ports: int = 1) -> None:
        self.disk = SimulatedDisk(Random(seed))
        self.set_ports(count_hosts, count_ports)
        self._count_hosts = count_hosts
        self._starts = 0
        self._tags = iter(range(1, 1 << 30))
        self._start()

    def kill(self) -> None:
        """End the process and start again."""
        self.abandon()
        self.disk.process_death()
        self._start()

    def lose_power(self) -> None:
        self.abandon()
        self.disk.power_loss()
        self._start()

    def abandon(self) -> None:
        """Stop the environment, so that no waiting work runs any more."""
        self.environment.die()

    def _start(self) -> None:
        self._starts += 1
        self.environment = VirtualEnvironment(seed=self._starts)
        pool: LogPool = self.environment.run(open_pool(self.disk.parts(), self.environment, PoolOptions(segment_blocks=64)))
        volume = pool.volumes.get("volume") or pool.create_volume("volume", 16, {})
        pool.commit()
        self.logical_unit = LogicalUnit(
            number=0,
            volume=volume,
            block_bytes=512,
            capacity_blocks=128,
            pool=pool,
            environment=self.environment,
        )
        self.logical_unit.reservations = recall(pool, volume.identity)
        self.logical_unit.sanitize_operation = recall_sanitize_operation(pool, volume.identity, self.environment.event)
        continue_sanitize(self.logical_unit)
        self.server = DeviceServer(standard_commands())
        self.internal_errors = []
        self.server.on_internal_error = self.internal_errors.append
        self.nexus = self.new_nexus()
        self.hosts = [self.attach(host) for host in range(self._count_hosts)]
