"""The limits of the replication of snapshots, with their reasons."""

MAX_SENDS = 4
"""Maximum number of protections whose snapshots an array sends at once to one peer. More would only share the same link. Peers
do not share this number, so a peer that answers nothing does not delay the others."""

MAX_RECEIVES = 4
"""Maximum number of snapshots that an array receives at once from one peer. Each takes up to 33 MiB. Peers do not share this
number, so a slow peer does not delay the others."""

MAX_PROTECTIONS = 1024
"""Maximum number of protections of an array. The array looks at each of them when a snapshot is taken."""

MAX_COPIES = 1024
"""Maximum number of copies that an array receives from one peer, so that no peer can make volumes without end."""

MAX_GROUP_VOLUMES = 64
"""Maximum number of volumes of a protection. Their snapshots are published in one batch of the log."""

MAX_GUIDS = 1000
"""Maximum number of guids in one question for a base. They fit into a message of 64 KiB."""

MAX_BASE_QUESTIONS = 100
"""Maximum number of such questions for one snapshot: 100,000 snapshots. Without an answer, the whole snapshot is sent."""

MAX_KEEP = 10_000
"""Maximum number of snapshots of one class to keep. A schedule keeps no more either."""

MAX_ATTRIBUTES = 32
"""Maximum number of attributes of a snapshot that are sent with it."""

MIN_RETRY_S = 1.0
"""First delay before a protection whose attempt has failed is tried again. Each further delay is twice as long."""

MAX_RETRY_S = 60.0
"""Maximum of this delay."""

MAX_REJECTIONS = 2
"""Number of rejections after which a snapshot is not sent again. The second attempt sends the whole snapshot."""

MAX_REJECTED_SNAPSHOTS = 2
"""Maximum number of rejected snapshots of a copy: those of the two attempts. Otherwise a block that stays different would
fill the pool."""

MIN_PUBLISHED_BLOCKS_PER_S = (1 << 30) // 4096
"""Rate at which an array compares received snapshots at least: 1 GiB of a volume in a second. A digest reads the map, not the
data, so an array needs about 5 s for a TiB. An array that is slower goes on, and has published when it is asked again."""

MAX_SERVED_REPLICATIONS = 16
"""Maximum number of requests of the replication that an array serves at once for one peer. The peer sends four snapshots
at once, and each has one open request, or two for a moment after a cut."""
