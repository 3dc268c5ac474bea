"""Every limit of the target's side, with its reason."""

MAX_CONNECTIONS = 64
"""Normal sessions in all, and so connections that are logged in to a target. Each costs a receive buffer of 1 MiB, and its
share of the memory for data."""

MAX_DISCOVERY_SESSIONS = 16
"""Discovery sessions in all. They have a bound of their own because anybody may have one where discovery asks for no
authentication: strangers shall not keep hosts out of the targets. A host needs one for a few milliseconds."""

MAX_LOGINS = 80
"""Connections that have not logged in. A login takes milliseconds, so as many as there are sessions can log in at once, and a
flood of sockets that do not costs little. Past it the one that has been at it for longest is closed."""

MAX_RECV_DATA_SEGMENT_BYTES = 262144
"""Declared as MaxRecvDataSegmentLength: the largest command Windows makes, and what libiscsi and Linux send at once,
so that most writes arrive as immediate data of one PDU and need no round trip."""

MAX_FIRST_BURST_BYTES = 262144
"""FirstBurstLength: as much as one PDU can bring; more would only be memory that initiators fill unasked."""

MAX_BURST_BYTES = 1 << 20
"""MaxBurstLength: one R2T asks for at most this. Hosts rarely write more at once; larger bursts would save nothing."""

MAX_OUTSTANDING_R2T = 8
"""R2Ts open per task: with bursts of 1 MiB that keeps 8 MiB on the way, more than any link here holds."""

MAX_TRANSFER_BYTES = 16 << 20
"""The most write data collected for one command, which is as much as logical units announce as MAXIMUM TRANSFER LENGTH. Of a
command that expects to send more, this much is asked for: no command can use the rest, and the residual count says so."""

MAX_COLLECTED_BYTES = 32 << 20
"""Write data asked for by R2T per connection, until its commands are answered: two of the largest, so one slow
command does not stop all others. R2Ts beyond it wait."""

MAX_HELD_BYTES = 1 << 20
"""Commands held, with their data, because an earlier CmdSN is missing. On one TCP connection that only happens on purpose
or after a digest error, so it need not be much."""

MAX_UNSENT_ANSWER_BYTES = 256 << 10
"""Answers to pings, Rejects and the like that are made in one go, before they are sent and more is taken."""

COMMAND_WINDOW = 128
"""Commands an initiator may have under way (MaxCmdSN): the Linux initiator's default, and four times what benchmarks use."""

MAX_IMMEDIATE_COMMANDS = 16
"""Immediate commands under way; they are outside the command window and need a bound of their own."""

MAX_CDB_BYTES = 260
"""The longest CDB SPC-4 4.3 allows (variable length, ADDITIONAL CDB LENGTH 252)."""

LOGIN_TIMEOUT_S = 15.0
"""From the connection's start to full feature phase; initiators give up after 15 (Linux) or about 30 seconds."""

PING_AFTER_IDLE_S = 30.0
"""A connection silent this long is pinged. Windows sends no pings of its own, so a dead host is only found this way."""

PING_TIMEOUT_S = 30.0
"""Silence after a ping that ends the connection: longer than a network's failover, shorter than a host's 60 s."""

DATA_OUT_TIMEOUT_S = 60.0
"""Data that is awaited for so long, with none of any command coming meanwhile, ends the connection. A write has its place in
the order of commands before its data is here, so other hosts may wait for it: as long as for a dead host, and no longer."""

DISCOVERY_IDLE_S = 60.0
"""A discovery session has no pings and nothing to wait for; silent this long it is closed."""

LOGOUT_TIME_S = 1.0
"""How long initiators have to log out when the target stops; a stop is to take under two seconds."""

PIECE_BYTES = 65536
"""Data-Out smaller than this is joined to the piece before it, so that a flood of tiny PDUs costs no more memory than
its data."""
