"""Measures what the replication of a snapshot does besides moving new data. Prints one line of JSON.

python -m bench.replica_rates unchanged     GB/s of a snapshot of which one block has changed since its base
python -m bench.replica_rates throttle      rate of the link over ten seconds, as a part of its throttle
python -m bench.replica_rates resume        MiB that were sent twice, because the link was cut in the middle
"""

import argparse
import json
import time

import trio
from bench.link_arrays import two_arrays
from bench.link_rates import BLOCKS, HINTS

from odx_target.replica.blocks.fill import Fill
from odx_target.replica.blocks.hints import Hints
from odx_target.replica.link.hello import Farewell
from odx_target.replica.link.throttle import Rates
from odx_target.store.api import BLOCK_BYTES

UNCHANGED_BLOCKS = 1 << 26
"""Size of the volume of which one block has changed: 256 GiB. Each of its blocks has data."""

THROTTLE_BYTES_PER_S = 8_000_000
THROTTLE_S = 10.0
CUT_S = 0.5


async def unchanged() -> dict[str, float]:
    async with two_arrays() as (own, peer, path):
        guids = {name: bytes.fromhex(guid) for name, guid in (await peer.ask("full", blocks=UNCHANGED_BLOCKS)).items()}
        volume = own.pool.create_volume("copy", UNCHANGED_BLOCKS, {})
        before, began = path.status, time.perf_counter()
        hints = Hints(HINTS)
        fill = Fill(own.pool, path, volume, guids["present"], hints, own.environment, base=guids["former"])
        await fill.run(0, UNCHANGED_BLOCKS)
        elapsed_s = time.perf_counter() - began
        return {
            "GB/s": UNCHANGED_BLOCKS * BLOCK_BYTES / elapsed_s / 1e9,
            "link bytes": path.status.received_bytes - before.received_bytes,
        }


async def throttle() -> dict[str, float]:
    async with two_arrays(Rates(THROTTLE_BYTES_PER_S)) as (own, peer, path):
        guid = bytes.fromhex((await peer.ask("fill", name="new", blocks=BLOCKS, seed=5, random_bytes=BLOCK_BYTES))["guid"])
        volume = own.pool.create_volume("copy", BLOCKS, {})
        fill = Fill(own.pool, path, volume, guid, Hints(HINTS), own.environment)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fill.run, 0, BLOCKS)
            await trio.sleep(1.0)
            before, began = (await peer.ask("sent"))["sent_bytes"], time.perf_counter()
            await trio.sleep(THROTTLE_S)
            sent, elapsed_s = (await peer.ask("sent"))["sent_bytes"] - before, time.perf_counter() - began
            nursery.cancel_scope.cancel()
        return {"part of the throttle": sent / elapsed_s / THROTTLE_BYTES_PER_S}


async def resume() -> dict[str, float]:
    async with two_arrays() as (own, peer, path):
        guid = bytes.fromhex((await peer.ask("fill", name="new", blocks=BLOCKS, seed=5, random_bytes=BLOCK_BYTES))["guid"])
        volume = own.pool.create_volume("copy", BLOCKS, {})
        fill = Fill(own.pool, path, volume, guid, Hints(HINTS), own.environment)

        async def cut() -> None:
            await trio.sleep(CUT_S)
            assert path.link is not None
            path.link.end(Farewell.STOPPING, "cut by the bench")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut)
            totals = await fill.run(0, BLOCKS)
        received = sum(each.received_blocks for each in totals)
        return {"attempts": len(totals), "MiB sent twice": (received - BLOCKS) * BLOCK_BYTES / (1 << 20)}


MEASURED = {"unchanged": unchanged, "throttle": throttle, "resume": resume}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.replica_rates", description="Measure the replication of a snapshot.")
    parser.add_argument("name", choices=list(MEASURED))
    print(json.dumps(trio.run(MEASURED[parser.parse_args().name])))


if __name__ == "__main__":
    main()
