"""All limits of the link between two arrays, with their reasons. None of them can be negotiated in version 1."""

MAX_BODY_BYTES = 260 << 10
"""Maximum size of the body of a frame: 64 blocks of 4 KiB, and a table of them. Such a frame takes about a millisecond of a
2 Gbit/s link, so an urgent frame waits no longer than that for the frame before it."""

MAX_JSON_BYTES = 64 << 10
"""Maximum size of a JSON object in a frame. It suffices for the longest list of ranges of a token."""

MAX_HELLO_BYTES = 4 << 10
"""Maximum size of the body of HELLO, because a peer sends HELLO before anything is known about the peer."""

MAX_TEXT_BYTES = 255
"""Maximum length of a text in a JSON object, in bytes of UTF-8: the maximum length of the name of a volume."""

MAX_LIST_ITEMS = 4096
"""Maximum number of items in a list, or of members in an object, of a JSON object."""

MAX_JSON_DEPTH = 8
"""Maximum depth of lists and objects in a JSON object. No message needs more than three levels."""

MAX_OPENED_CHANNELS = 32
"""Maximum number of channels that one side of a connection has opened: 64 for both sides. Their initial credit is about half of
`MAX_BUFFERED_BYTES`. The other half is for channels that are widened."""

INITIAL_CREDIT_BYTES = 544 << 10
"""Credit of each side of a new channel: two frames of the maximum size. An owner that moves much data widens its channel."""

MAX_CREDIT_BYTES = 16 << 20
"""Maximum credit of one side of a channel: 10 Gbit/s at a round trip of 13 ms."""

MAX_BUFFERED_BYTES = 64 << 20
"""Maximum credit that one side of a connection grants for all channels together. It bounds the memory for received frames."""

MAX_UNSENT_BYTES = 1 << 20
"""Number of bytes of waiting frames at which a channel accepts no more frames from its owner."""

PING_AFTER_S = 1.0
"""Time without received bytes after which a side sends PING."""

DEAD_AFTER_S = 5.0
"""Time without received bytes after which a connection is dead. A host repeats a command after 10 to 60 s, so a new connection
can still serve the command."""

PING_GRACE_S = 4.0
"""Minimum time that a peer has to answer a PING before the connection is dead, even if this array itself was stopped for a
while."""

HELLO_TIMEOUT_S = 5.0
"""Time in which the peer must send its HELLO."""

MIN_RETRY_S = 0.1
"""Minimum delay before a path dials again. A restarted array is found at once."""

MAX_RETRY_S = 5.0
"""Maximum delay before a path dials again."""

AWAITED_RETRY_S = 1.0
"""Maximum delay before a path dials again that a group uses, because hosts wait for the group."""

REFUSED_RETRY_S = 60.0
"""Delay before a path dials a peer again that has no common version or has refused the connection. An operator must act
first."""

MIN_THROTTLE_BYTES_PER_S = 1_000_000
"""Minimum rate of a throttle. At a lower rate, one frame would take longer than a third of a second."""

MAX_THROTTLE_BYTES_PER_S = 1 << 40
"""Maximum rate of a throttle. No machine reaches this rate."""

THROTTLE_BURST_S = 0.2
"""Time for which a throttle saves up unused rate. A longer time would allow bursts that other traffic of the line notices. In a
shorter time, an array whose processors are busy would lose rate whenever it runs late."""

TRIAL_BYTES = 8 << 20
"""Size of the data of one trial of a way to send data. The buffers of the system take some hundred KiB at once, and a busy
machine may give a process no processor for some milliseconds; neither must decide."""

TRIAL_INTERVAL_BYTES = 256 << 20
"""Size of the data that is sent after a trial of both ways until the next one. The slower way then costs a few percent."""

MIN_GAIN = 1.2
"""Least factor by which zstandard must be faster than LZ4 to be used. A smaller gain may be chance, and takes more time of the
processors of both arrays."""

FAST_BYTES_PER_S = 200_000_000
"""Rate of the data, before its compression with LZ4, from which zstandard is not tried. With more processors it would be faster
than this, but hosts use the same processors."""

GRANT_STEP_BYTES = 128 << 10
"""Number of consumed bytes after which a receiver grants new credit. Smaller steps would take a frame for each few blocks."""
