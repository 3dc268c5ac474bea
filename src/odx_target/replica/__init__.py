"""Other arrays: the link between two arrays, and what they exchange over it.

link           frames, classes, credit, keep-alive and reconnection of a connection between two arrays, without I/O
paths          the paths of an array to others; begin with `paths.path`
pairing        the proof that two arrays know one path key
edge           sockets and TLS
blocks         the exchange that moves blocks which the receiver does not have
remote_tokens  tokens that one array makes and another array redeems
snapshots      replication of snapshots
request_table  the requests that an array serves for its peers
"""
