"""Every limit of the target's side, with its reason."""

MAX_CONNECTIONS = 64
"""Normal sessions in all, and so connections that are logged in to a target. Each costs a receive buffer of 1 MiB, and its
share of the memory for data."""

MAX_DISCOVERY_SESSIONS = 16
"""Discovery sessions in all. They have a bound of their own because any host may have one where discovery asks for no
authentication: strangers must not keep hosts away from the targets. A host needs one for a few milliseconds."""

MAX_LOGINS = 80
"""Connections that have not logged in. A login takes milliseconds, so as many as there are sessions can log in at once, and a
flood of sockets that never log in costs little. Beyond it, the connection that has been logging in for longest is closed."""

MAX_RECV_DATA_SEGMENT_BYTES = 262144
"""Declared as MaxRecvDataSegmentLength: the largest command of Windows, and as much as libiscsi and Linux send at once,
so that most writes arrive as immediate data of one PDU and need no round trip."""

MAX_FIRST_BURST_BYTES = 262144
"""FirstBurstLength: as much as one PDU can bring; more would only be memory that initiators fill unasked."""

MAX_BURST_BYTES = 1 << 20
"""MaxBurstLength: one R2T asks for at most this. Hosts rarely write more at once; larger bursts would save nothing."""

MAX_OUTSTANDING_R2T = 8
"""R2Ts open per task: with bursts of 1 MiB that keeps 8 MiB on the way, more than any link here holds."""

MAX_TRANSFER_BYTES = 16 << 20
"""The most write data collected for one command: the MAXIMUM TRANSFER LENGTH that logical units report. A command that
expects to send more is asked for this much only: no command can use the rest, and the residual count shows it."""

MAX_COLLECTED_BYTES = 32 << 20
"""Write data asked for by R2T per connection, until its commands are answered: two of the largest, so that one
slow command does not stop all others. R2Ts beyond it wait."""

MAX_HELD_BYTES = 1 << 20
"""Commands held, with their data, because an earlier CmdSN is missing. On one TCP connection that only happens on purpose
or after a digest error, so it need not be much."""

MAX_UNSENT_ANSWER_BYTES = 256 << 10
"""Answers to pings, Rejects and the like that may wait to be sent; beyond it, no PDUs are taken until they are sent."""

COMMAND_WINDOW = 128
"""Commands an initiator may have under way (MaxCmdSN): the Linux initiator's default, and four times what benchmarks use."""

MAX_IMMEDIATE_COMMANDS = 16
"""Immediate commands under way. They are outside the command window and need a limit of their own."""

MAX_CDB_BYTES = 260
"""The longest CDB SPC-4 4.3 allows (variable length, ADDITIONAL CDB LENGTH 252)."""

LOGIN_TIMEOUT_S = 15.0
"""The time from the start of a connection to full feature phase. Initiators give up after 15 (Linux) or about 30 seconds."""

PING_AFTER_IDLE_S = 30.0
"""A connection that is silent for this long is pinged. Windows sends no pings, so a dead host is only found this way."""

PING_TIMEOUT_S = 30.0
"""Silence after a ping that ends the connection: longer than a network's failover, shorter than a host's 60 s."""

DATA_OUT_TIMEOUT_S = 60.0
"""A connection ends if it is sent no data for this long while data of a command is missing. A write has its place in the
order of commands before its data is here, so other hosts may wait for it: as long as for a dead host, and no longer."""

DISCOVERY_IDLE_S = 60.0
"""A discovery session that is silent for this long is closed. It is not pinged, since it has nothing to wait for."""

LOGOUT_TIME_S = 1.0
"""The time initiators have to log out when the target stops, so that a stop takes less than two seconds."""

PIECE_BYTES = 65536
"""Data of a Data-Out is joined to the piece before it while that is shorter than this, so that a flood of tiny PDUs costs
no more memory than its data."""
