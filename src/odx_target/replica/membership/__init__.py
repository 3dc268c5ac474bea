"""Which of two arrays serves a group of volumes: register, leases and witness, without I/O.

Two members have the same volumes. A witness keeps the register, which names the primary and the members that are in sync. The
primary serves only while it has a lease, and the other member takes over only when no lease can exist any more. Everything
here is a function of messages and times; the caller sends the messages and makes the records durable.
"""
