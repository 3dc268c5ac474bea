"""Paths to other arrays: what is known about a peer, the connection to it, and the exchanges on this connection.

settings       the settings of a path
path_record    the record of a path in the pool
path_table     the paths of an array
connection     the interface to the network: a stream of bytes to a peer
link           one connection of a path, with tasks that receive, send and watch the time
exchange       one channel of a link, for the code that requests or serves something
path           dials, accepts and keeps the link of a path
waker          wakes a waiting task
"""
