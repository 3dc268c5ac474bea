"""The limits of tokens between arrays, with their reasons."""

from odx_target.store.api import BLOCK_BYTES

TOKEN_PART_BLOCKS = 256
"""Number of blocks of an OFFER of token data: 1 MiB. A command of a host counts the parts that have arrived, and must end after
4 seconds. So a link needs about 300 kB/s to give a command any progress."""

GATHERED_BLOCKS = 4 * TOKEN_PART_BLOCKS
"""Number of blocks for which a command waits before it shares them with its destination, if they arrive in its time: 4 MiB."""

MAX_LEASES = 4096
"""Maximum number of tokens of this array that the peer of one path uses at the same time. A host that copies small files uses
hundreds of tokens in the time after which an unused lease ends."""

MAX_MADE_TOKENS = 64
"""Maximum number of tokens that an array has made for EXTENDED COPY of one peer and that have not ended. The peer deletes each
at the end of its segment. Without a limit, a peer could use up the tokens of the hosts."""

LEASE_TIMEOUT_S = 60.0
"""Time without a request about a lease after which it ends. The inactivity timeout of its token then begins. A host repeats a
command for about this time while a path is down."""

UNUSED_TOKEN_S = 30.0
"""Time after which the redeemer closes a token of another array that no command has used."""

MAX_UNUSED_TOKENS = 64
"""Maximum number of tokens of other arrays that are kept open without a command. Then the token that was used least recently is
closed. Each keeps the data that has arrived, so that the next command need not request it again."""

PATH_WAIT_S = 1.0
"""Time for which a command waits for a path that is down before it is refused. It suffices for a connection that is made again
at once."""

BACKGROUND_WAIT_S = 60.0
"""Time for which a copy in the background waits for its next data. The maker ends the lease after the same time."""

ANSWER_WAIT_S = 60.0
"""Time for which an array waits for the answer to a request about a token. The command of a host waits much shorter. Without a
limit, a peer that keeps the connection alive, but answers nothing, would take up all channels of the path."""

RETRY_S = 0.1
"""Delay before data is requested again after a request has failed, so that a peer is not asked without a pause."""

CHECK_INTERVAL_S = 0.05
"""Interval at which a waiting command looks at the time and at the path. It is well below the time that a command reserves for
its response."""

MAX_PULL_BLOCKS = (64 << 20) // BLOCK_BYTES
"""Maximum number of blocks that one request for token data asks for: 64 MiB. So much may still arrive after a command has
ended."""

MAX_PULLS = 2
"""Maximum number of requests for data of one token at the same time: the present one, and the following one."""

PIPELINE_BLOCKS = (8 << 20) // BLOCK_BYTES
"""Number of blocks at the end of a request at which the next request is sent, so that the link is not idle between them: 8 MiB,
as much as the peer may send ahead."""

MAX_PATH_PULLS = 16
"""Maximum number of requests for token data on one path at the same time. It is half of the channels of an array. Other tokens
wait."""

MAX_SERVED_PULLS = MAX_PATH_PULLS
"""Maximum number of requests for token data of one peer that an array serves at once. Each takes up to 9 MiB: eight parts that
the sender keeps, and the one that it reads."""

MAX_SERVED_TOKEN_REQUESTS = 32
"""Maximum number of other requests about tokens of one peer that an array serves at once: as many as its channels."""

MIN_READ_AHEAD_BYTES = 16 << 20
"""Minimum amount of data that is requested after a command of a host, for its next command."""

MAX_READ_AHEAD_BYTES = 64 << 20
"""Maximum amount of data that is requested after a command of a host. In between, it is as much as the command has copied."""

MAX_ALL_READ_AHEAD_BYTES = 256 << 20
"""Maximum amount of data of all tokens that was requested without a command that needs it. It takes room in the pool until the
token is closed."""
