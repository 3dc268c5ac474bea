"""Groups of volumes that two arrays keep equal at every instant.

The primary serves hosts. It reads its own log and ships the changes of the group to the other member, which makes the same
changes in its own pool. A reply to a host waits until the other member has all changes that were made before. `membership`
decides which member serves; this package makes its decisions durable, carries its messages and moves the data.
"""
