"""Every limit of the target's side, with its reason."""

MAX_CONNECTIONS = 64
"""Maximum number of normal sessions. Each has one connection, with a receive buffer of 1 MiB and a share of the memory for
data."""

MAX_DISCOVERY_SESSIONS = 16
"""Maximum number of discovery sessions. They have their own limit because a host may need no authentication for discovery:
unknown hosts must not keep other hosts away from the targets. A host needs a discovery session for a few milliseconds."""

MAX_LOGINS = 80
"""Maximum number of connections that have not logged in. A login takes milliseconds, so all sessions can log in at once, and a
flood of sockets that never log in costs little. When the limit is exceeded, the connection that has been logging in for longest
is closed."""

MAX_RECV_DATA_SEGMENT_BYTES = 262144
"""Value of MaxRecvDataSegmentLength: the largest command of Windows, and the most that libiscsi and Linux send at once. So most
writes arrive as immediate data of one PDU and need no round trip."""

MAX_FIRST_BURST_BYTES = 262144
"""Value of FirstBurstLength: as much as one PDU can carry. A larger value would only allow initiators to fill more memory
before the target asks for data."""

MAX_BURST_BYTES = 1 << 20
"""Value of MaxBurstLength: the most that one R2T asks for. Hosts rarely write more at once, so larger bursts would save
nothing."""

MAX_OUTSTANDING_R2T = 8
"""Maximum number of open R2Ts per task. With bursts of 1 MiB, 8 MiB can be in transit at once, more than the expected links
need."""

MAX_TRANSFER_BYTES = 16 << 20
"""Maximum of write data that is collected for one command. It equals the MAXIMUM TRANSFER LENGTH that logical units report. A
command that expects to send more is asked for this much only: no command can use more, and the residual count reports the
difference."""

MAX_COLLECTED_BYTES = 32 << 20
"""Maximum of write data that one connection requests by R2T until the commands are answered. It is enough for two of the
largest commands, so that one slow command does not stop all others. R2Ts beyond the limit wait."""

MAX_HELD_BYTES = 1 << 20
"""Maximum size of commands, with their data, that are held because an earlier CmdSN is missing. On one TCP connection a CmdSN
is missing only after a digest error or by intent, so a small limit is enough."""

MAX_UNSENT_ANSWER_BYTES = 256 << 10
"""Maximum size of ping answers, Rejects and similar answers that wait to be sent. Beyond this limit no more PDUs are taken
until these answers have been sent."""

COMMAND_WINDOW = 128
"""Maximum number of commands that an initiator may have under way (MaxCmdSN): the default of the Linux initiator, and four
times the number that benchmarks use."""

MAX_IMMEDIATE_COMMANDS = 16
"""Maximum number of immediate commands under way. The command window does not count them, so they need a limit of their own."""

MAX_CDB_BYTES = 260
"""Longest CDB that SPC-4 4.3 allows: variable length, with ADDITIONAL CDB LENGTH 252."""

LOGIN_TIMEOUT_S = 15.0
"""Maximum time from the start of a connection to full feature phase. Initiators give up after 15 s (Linux) or about 30 s."""

PING_AFTER_IDLE_S = 30.0
"""A connection that has been silent for this long is pinged. Windows sends no pings, so only a ping of the target finds a dead
Windows host."""

PING_TIMEOUT_S = 30.0
"""A connection that stays silent for this long after a ping is closed. The time is longer than a network's failover and shorter
than a host's command timeout of 60 s."""

DATA_OUT_TIMEOUT_S = 60.0
"""A connection is closed if data of a command is missing and no data has arrived for this long. A write has its place in the
order of commands before its data arrives, so other hosts may wait for it. They wait no longer than for a dead host."""

DISCOVERY_IDLE_S = 60.0
"""A discovery session that has been silent for this long is closed. It is not pinged, since it has nothing to wait for."""

LOGOUT_TIME_S = 1.0
"""Time that initiators have to log out when the target stops. It is short, so that a stop takes less than two seconds."""

PIECE_BYTES = 65536
"""Pieces of write data shorter than this are joined to the next piece. So a flood of tiny PDUs takes no more memory than its
data."""
