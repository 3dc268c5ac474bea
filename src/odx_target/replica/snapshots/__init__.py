"""Replication of snapshots: new snapshots of a volume are sent to another array, which keeps them in a copy of the volume.

protection   what is sent where, and what both arrays have: the records of the sending side
copies       the copies that this array receives: the records of the receiving side
records      the records of both sides in the pool
messages     the requests between both sides
choice       the next snapshot to send, and its base
sender       sends new snapshots; begin here
receiver     receives snapshots, compares and publishes them
holds        holds on the snapshots that both sides need
pruning      deletion of received snapshots
transfer     a running transfer, and the results of the last ones
estimate     the rate of a transfer, and the time that remains
moments      times as text
rings        time series of the transferred bytes of a path
failover     promotion of copies, and reversal of protections
replication  both sides together
"""
