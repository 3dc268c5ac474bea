"""Every limit of the target's side, with its reason."""

MAX_CONNECTIONS = 64
"""Maximum number of normal sessions. Each session has one connection, with a receive buffer of 1 MiB and a share of the memory
for data."""

MAX_DISCOVERY_SESSIONS = 16
"""Maximum number of discovery sessions. Hosts may be allowed to open discovery sessions without authentication. Discovery
sessions therefore have a limit of their own, so that unknown hosts cannot use up the normal sessions. A host needs a discovery
session for a few milliseconds.
"""

MAX_LOGINS = 80
"""Maximum number of connections that have not logged in. A login takes milliseconds, so this number is enough for all sessions
to log in at once. The number is also small, so that a flood of sockets that never log in costs little. When the limit is
exceeded, the connection that has been logging in for longest is closed."""

MAX_RECV_DATA_SEGMENT_BYTES = 262144
"""Value of MaxRecvDataSegmentLength. Windows, libiscsi and Linux never send more data in one PDU. Most writes therefore arrive
as immediate data of one PDU and need no round trip for an R2T."""

MAX_FIRST_BURST_BYTES = 262144
"""Value of FirstBurstLength: the number of data bytes that one PDU can carry. A larger value would have no use: initiators
could only send more data before the target asks for it, and fill more memory."""

MAX_BURST_BYTES = 1 << 20
"""Value of MaxBurstLength: the maximum number of bytes that one R2T requests. Hosts rarely write more than 1 MiB by one
command, so larger bursts would not reduce the number of R2Ts."""

MAX_OUTSTANDING_R2T = 8
"""Maximum number of open R2Ts per task. With bursts of 1 MiB, 8 MiB can be in transit at once. The links between hosts and the
array need less than 8 MiB in transit for their full speed."""

MAX_TRANSFER_BYTES = 16 << 20
"""Maximum number of bytes of write data that are collected for one command. The limit equals the MAXIMUM TRANSFER LENGTH that
logical units report. No command can use more bytes. If an initiator expects to send more bytes, the target does not request the
additional bytes, and reports their number in the residual count.
"""

MAX_COLLECTED_BYTES = 32 << 20
"""Maximum number of bytes of write data that the target requests by R2T for all unanswered commands of one connection. The
limit is enough for two of the largest commands, so that one slow command does not stop all other commands. R2Ts beyond the
limit wait.
"""

MAX_HELD_BYTES = 1 << 20
"""Maximum size of the commands and their data that are held because an earlier CmdSN is missing. On one TCP connection a CmdSN
is missing only after a digest error, or if the initiator skips it on purpose. So a small limit is enough."""

MAX_UNSENT_ANSWER_BYTES = 256 << 10
"""Maximum size of ping answers, Rejects and similar answers that wait to be sent. Beyond this limit the connection processes no
more PDUs until these answers have been sent."""

COMMAND_WINDOW = 128
"""Maximum number of commands that an initiator may have under way; MaxCmdSN reports this limit. The number is the default of
the Linux initiator. Benchmarks have only about 32 commands under way."""

MAX_IMMEDIATE_COMMANDS = 16
"""Maximum number of immediate commands under way. The command window does not count immediate commands, so they need a limit of
their own."""

MAX_CDB_BYTES = 260
"""Longest CDB that SPC-4 4.3 allows: variable length, with ADDITIONAL CDB LENGTH 252."""

LOGIN_TIMEOUT_S = 15.0
"""Maximum time from the start of a connection to full feature phase. The Linux initiator gives up after 15 s, other initiators
after about 30 s."""

PING_AFTER_IDLE_S = 30.0
"""Time after which the target pings a silent connection. Windows sends no pings, so only a ping of the target finds a dead
Windows host."""

PING_TIMEOUT_S = 30.0
"""Time after which the target closes a connection that stays silent after a ping. The time is longer than the failover of a
network, and shorter than the command timeout of a host, which is 60 s."""

DATA_OUT_TIMEOUT_S = 60.0
"""Time after which the target closes a connection that sends no data although data of a command is missing. A write gets its
place in the order of commands before its data arrives, so commands of other hosts may wait for the write. These commands wait
at most this long, as they would for a dead host."""

DISCOVERY_IDLE_S = 60.0
"""Time after which the target closes a silent discovery session. The target sends no pings in a discovery session, because a
host uses it only to ask for targets, and then closes it.
"""

LOGOUT_TIME_S = 1.0
"""Time that initiators get for their logout when the target stops. The time is short, so that a stop takes less than two
seconds."""

PIECE_BYTES = 65536
"""Minimum length of a piece of write data. A shorter piece is joined to the next piece, so a flood of tiny PDUs takes no more
memory than its data."""
