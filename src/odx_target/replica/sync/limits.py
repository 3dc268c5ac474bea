"""The limits of groups, with their reasons."""

MAX_GROUPS = 8
"""Maximum number of groups of an array. Each group may have two channels of a connection, which has 32 for each side."""

MAX_GROUP_VOLUMES = 256
"""Maximum number of volumes of a group. Their identities fit into one message."""

MAX_ITEM_BLOCKS = 64
"""Maximum number of blocks of one item of SHIP: the blocks that fit into one frame."""

OUT_OF_SYNC_S = 20.0
"""Default time without an acknowledgement after which the primary goes on alone. Linux gives up a command after 30 s."""

MIN_OUT_OF_SYNC_S = 6.0
"""Least value of that time. A lost connection is noticed and made again within 6 s."""

MAX_OUT_OF_SYNC_S = 600.0
"""Greatest value of that time. Hosts wait as long when the other member is lost."""

MAX_UNSETTLED_MESSAGES = 64
"""Number of received messages of the membership that may wait while the pool makes a record durable. Others are dropped, as if
they were lost on the way; their senders repeat them."""

MAX_WAITING_FLUSHES = 4096
"""Number of FLUSH that may wait for one flush of the other member: more than the commands that the hosts of a group have under
way. If more wait, the stream waits too."""

MAX_WAITING_ANCHORS = 4
"""Number of anchors whose digests the other member may have to report. The primary takes one at a time."""

GIVE_UP_MARGIN_S = 5.0
"""Time after which a command of a host that cannot be acknowledged ends with an error, beyond the time after which the other
member is out of sync. So hosts survive the loss of one member without an error."""

MAX_HAND_OVER_S = 5.0
"""Maximum time in which a primary that hands over refuses commands. Hosts repeat them meanwhile."""

MAX_SHIPPED_MAPS = 4096
"""Maximum number of frozen maps of the primary that the other member keeps for clones. Each takes some hundred bytes. Blocks of
other maps are shipped."""

STEPS_OF_A_BLOCK = 1
"""Number of steps (see `turns`) that it takes to ship or to write a block."""

ANCHOR_INTERVAL_S = 30.0
"""Least time between two anchors of a group. A resync ships again what was changed in this time before the cut."""

FILL_BLOCKS = 256
"""Number of blocks that a resync reads at once: 1 MiB. New changes are shipped between two such reads."""

MAX_NAMED_SNAPSHOTS = 256
"""Number of its newest snapshots that a member names in a greeting: those that it may have taken since the last anchor."""

MIN_ROOM_BYTES = 16 << 20
"""Room in the pool of the other member without which it refuses a change that it prepares: the records of the change fit in."""

MAX_READ_BLOCKS = 256
"""Number of blocks whose data both members compare at once when they read an anchor: 1 MiB."""

MAX_READ_FINDINGS = 100
"""Number of parts that a reading of an anchor lists. More are only counted."""

READ_RATE_BYTES = 64 << 20
"""Default for the bytes that each member reads in a second when both read an anchor."""

MIN_READ_RATE_BYTES = 1 << 20
"""Least value of that rate. A reading waits for at most one second between two parts."""
