"""The limits of the exchange of blocks, with their reasons."""

from odx_target.replica.link.limits import MAX_BODY_BYTES
from odx_target.store.api import BLOCK_BYTES

MAX_OFFER_BLOCKS = 1024
"""Maximum number of blocks of an OFFER: 4 MiB, one leaf of a map. After a cut, at most this part is sent again."""

MAX_RANGE_BLOCKS = 1 << 40
"""Maximum number of blocks of a snapshot, and of a range: 4 PiB, more than any volume has."""

MAX_OFFERS = 8
"""Maximum number of OFFERs whose blocks have not been sent yet. The sender keeps their data: 32 MiB."""

MAX_DATA_BLOCKS = 256
"""Maximum number of blocks of a DATA frame. Longer frames compress no better."""

RAW_DATA_BLOCKS = 64
"""Number of blocks of a DATA frame that is not compressed with zstandard. LZ4 gains nothing from longer frames."""

MAX_SERVED_REQUESTS = 8
"""Maximum number of requests of one peer that an array serves at once. A peer that closes its channels early cannot start more.
Each takes up to 33 MiB."""

MAX_WAIT_S = 120.0
"""Time for which each side of an exchange of blocks waits for the other. Then it ends the exchange, so that a peer that is
stuck keeps no memory, no channel and no place among the requests. A receiver whose pool makes room, or a sender whose disk is
slow, may take as long, and the rest is requested again."""

MAX_SILENCE_S = 10.0
"""Time after which a sender that finds only blocks which the receiver has already sends a part of them. So the receiver knows
that the sender works, although a volume of many TiB may have no changes for longer than `MAX_WAIT_S`."""

MAX_VAIN_ATTEMPTS = 5
"""Maximum number of consecutive attempts that the peer ends without a further part. The peer cannot read its data, or has an
internal error, and further attempts end in the same way."""

TURN_BLOCKS = 256
"""Maximum number of blocks that are read, hashed, linked or written before other tasks run: half a millisecond of work."""

WINDOW_BYTES = 8 << 20
"""Credit that a receiver of blocks requests for its channel: two OFFERs in full."""

PAUSE_AFTER_BYTES = 64 << 20
"""Number of offered bytes after which a sender that gets fewer than `MIN_HIT_PERCENT` stops to offer fingerprints."""

RETRY_AFTER_BYTES = 256 << 20
"""Number of sent bytes after which a sender that has stopped offers fingerprints again."""

MIN_HIT_PERCENT = 2
"""Least percentage of the offered blocks that the receiver must have. Below it, the fingerprints cost more than they save."""

DEFAULT_HINTS = 5_592_405
"""Default number of hints: 64 MiB of memory, for 21 GiB of data."""

assert RAW_DATA_BLOCKS * (BLOCK_BYTES + 6) + 2 <= MAX_BODY_BYTES
