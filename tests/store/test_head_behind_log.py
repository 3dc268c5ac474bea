"""Tests that a pool whose head has an older epoch than its log does not lose what is written later."""

from tests.store.pools import Machine, block, read

from odx_target.store.opening.format_head import decode_head, encode_head


def test_an_old_head_under_a_newer_log() -> None:
    machine = Machine()
    for _ in range(4):
        machine.reopen()
    machine.pool.create_volume("a", 3, {})
    machine.close()
    document = machine.disk.head.document
    assert document is not None
    machine.disk.head.document = encode_head(decode_head(document, "the head")._replace(epoch=1))
    machine.open()
    machine.pool.volumes["a"].write(0, [block(1)])
    machine.pool.commit()
    machine.flush()
    machine.lose_power()
    assert read(machine, machine.pool.volumes["a"], 0, 1) == block(1)
