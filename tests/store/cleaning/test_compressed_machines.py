"""The crash machine and the clean machine with volumes that are compressed. Some data cannot be compressed."""

from collections.abc import Mapping

from hypothesis import strategies as st
from hypothesis.stateful import rule
from tests.settings import searching
from tests.store.cleaning.test_clean_machine import CleanMachine
from tests.store.pool_model import RANDOM
from tests.store.test_crash_machine import VOLUME_BLOCKS, CrashMachine, blocks, counts, names

from odx_target.store.volumes.compression_attribute import COMPRESSION_ATTRIBUTE, LZ4, OFF, ZSTANDARD


class CompressedCrashMachine(CrashMachine):
    attributes: Mapping[str, str] = {COMPRESSION_ATTRIBUTE: LZ4}

    def new_values(self, count: int) -> list[int]:
        self.environment.turns.left = self.random.choice([0, 150, 600, 600])
        kind = self.random.random()
        values = super().new_values(count)
        if kind < 0.6:
            return values
        share = 1.0 if kind < 0.8 else 0.4
        return [value + RANDOM if self.random.random() < share else value for value in values]

    @rule(name=names, block=blocks, count=counts)
    def write_prepared(self, name: str, block: int, count: int) -> None:
        """Write data that a thread has compressed."""
        count = min(count, VOLUME_BLOCKS - block)
        if name not in self.pool.volumes or self.is_failed or self.disk.is_off:
            return
        volume = self.pool.volumes[name]
        write = volume.write

        def prepare_and_write(at: int, data: list[bytes]) -> None:
            write(at, self.environment.run(volume.prepare(at, data)))

        volume.write = prepare_and_write  # type: ignore[method-assign]
        try:
            self.mark()  # Background jobs may run during the preparation.
            self.write(name, block, count)
        finally:
            del volume.write

    @rule(name=names, choice=st.sampled_from([OFF, LZ4, ZSTANDARD]))
    def change_compression(self, name: str, choice: str) -> None:
        self.do(lambda: self.pool.volumes[name].change_attributes({COMPRESSION_ATTRIBUTE: choice}), name)


class CompressedCleanMachine(CompressedCrashMachine, CleanMachine):
    attributes: Mapping[str, str] = {COMPRESSION_ATTRIBUTE: ZSTANDARD}


TestCompressedCrashMachine = CompressedCrashMachine.TestCase
TestCompressedCrashMachine.settings = searching(max_examples=60, steps=40)
TestCompressedCleanMachine = CompressedCleanMachine.TestCase
TestCompressedCleanMachine.settings = searching(max_examples=60, steps=40)
