"""Commands on a real pool in memory, compared with a bytearray for each logical unit."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from odx_target.scsi.commands.standard import standard_commands
from odx_target.scsi.device_server import DeviceServer
from odx_target.scsi.nexus import Nexus
from odx_target.scsi.reply import Reply
from odx_target.scsi.target_port import iscsi_port
from odx_target.scsi.unit.logical_unit import LogicalUnit
from odx_target.store.open import open_memory_pool
from tests.scsi.array import TARGET_NAME, data_of
from tests.sim.virtual_environment import VirtualEnvironment

STORE_BLOCKS = 12


class ArrayMachine(RuleBasedStateMachine):
    @initialize(block_bytes=st.sampled_from([512, 4096]))
    def begin(self, block_bytes):
        self.environment = VirtualEnvironment()
        self.pool = self.environment.run(open_memory_pool(self.environment))
        volume = self.pool.create_volume("volume", STORE_BLOCKS, {})
        self.block_bytes = block_bytes
        self.capacity = STORE_BLOCKS * 4096 // block_bytes
        unit = LogicalUnit(
            number=0,
            volume=volume,
            block_bytes=block_bytes,
            capacity_blocks=self.capacity,
            pool=self.pool,
            environment=self.environment,
        )
        self.server = DeviceServer(standard_commands())
        self.nexus = Nexus("host", "host", iscsi_port(TARGET_NAME), {0: unit})
        self.model = bytearray(STORE_BLOCKS * 4096)

    def teardown(self):
        if hasattr(self, "pool"):
            self.environment.run(self.pool.close())
            self.environment.settle()

    def command(self, cdb, data_out=b""):
        _, outcome = self.server.execute(self.nexus, 0, cdb.ljust(16, b"\0"), [data_out] if data_out else [], 1, 1)
        reply = outcome if isinstance(outcome, Reply) else self.environment.run(outcome.run())
        self.pool.commit()
        return data_of(reply)

    def _place(self, data):
        lba = data.draw(st.integers(0, self.capacity - 1))
        count = data.draw(st.integers(1, self.capacity - lba))
        return lba, count, slice(lba * self.block_bytes, (lba + count) * self.block_bytes)

    def _long_cdb(self, operation_code, flags, lba, count):
        return bytes((operation_code, flags)) + lba.to_bytes(8, "big") + count.to_bytes(4, "big") + b"\0\0"

    @rule(data=st.data(), byte=st.integers(1, 255), fua=st.sampled_from([0, 8]))
    def write(self, data, byte, fua):
        lba, count, place = self._place(data)
        content = bytes((byte + index // 64) % 256 for index in range(count * self.block_bytes))
        self.command(self._long_cdb(0x8A, fua, lba, count), content)
        self.model[place] = content

    @rule(data=st.data(), fua=st.sampled_from([0, 8]))
    def read(self, data, fua):
        lba, count, place = self._place(data)
        assert self.command(self._long_cdb(0x88, fua, lba, count)) == self.model[place]

    @rule(data=st.data())
    def unmap(self, data):
        lba, count, place = self._place(data)
        self.command(
            bytes.fromhex("42 00 00 00 00 00 00 00 18"), bytes.fromhex("0016001000000000") + self._descriptor(lba, count)
        )
        self.model[place] = bytes(count * self.block_bytes)

    def _descriptor(self, lba, count):
        return lba.to_bytes(8, "big") + count.to_bytes(4, "big") + bytes(4)

    @rule(data=st.data(), byte=st.integers(0, 255))
    def write_same(self, data, byte):
        lba, count, place = self._place(data)
        block = bytes((byte,)) * self.block_bytes
        self.command(self._long_cdb(0x93, 0, lba, count), block)
        self.model[place] = block * count

    @rule()
    def verify_everything(self):
        self.command(self._long_cdb(0x8F, 2, 0, self.capacity), bytes(self.model))

    @rule()
    def deallocated_blocks_read_as_zeros(self):
        status = self.command(bytes.fromhex("9e 12 0000000000000000 00001000"))
        covered = 0
        for index in range(8, len(status), 16):
            lba, count = int.from_bytes(status[index : index + 8], "big"), int.from_bytes(status[index + 8 : index + 12], "big")
            if status[index + 12] == 1:
                assert not any(self.model[lba * self.block_bytes : (lba + count) * self.block_bytes])
            covered += count
        assert covered == self.capacity


TestArray = ArrayMachine.TestCase
TestArray.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize("block_bytes", [512, 4096])
def test_identities_of_volumes_differ(block_bytes):
    machine = ArrayMachine()
    machine.begin(block_bytes)
    other = machine.pool.create_volume("other", STORE_BLOCKS, {})
    first = machine.nexus.logical_units[0]
    second = LogicalUnit(
        number=1,
        volume=other,
        block_bytes=block_bytes,
        capacity_blocks=machine.capacity,
        pool=machine.pool,
        environment=machine.environment,
    )
    assert first.identity != second.identity
    assert first.serial_number != second.serial_number
    machine.teardown()
