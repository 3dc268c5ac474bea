"""Replication of snapshots: new snapshots of a volume are sent to another array, which keeps them in a copy of the volume.

protection   what is sent where, and what both arrays have: the records of the sending side
records      the records of both sides in the pool
messages     the requests between both sides
choice       the next snapshot to send, and its base
sender       decides what is sent now; begin here
sending      the steps of a transfer at the sending side
receiver     fills copies with snapshots of peers
publisher    compares copies with the snapshots of peers, and publishes them
received_copies  the copies of all peers, and what they do
free_names   names of received volumes and snapshots
reporting    the log of the replication
holds        holds on the snapshots that both sides need
pruning      deletion of received snapshots
transfer     a running transfer, and the results of the last ones
estimate     the rate of a transfer, and the time that remains
moments      times as text
rings        time series of the transferred bytes of a path
failover     promotion of copies, and reversal of protections
replication  both sides together
"""
