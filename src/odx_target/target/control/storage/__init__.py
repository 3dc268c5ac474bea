"""Operations on volumes and snapshots. If no array serves the pool, the pool is opened only for the operation.

storage      a pool, and the array that serves it, if there is one
names        finds volumes and snapshots by the names in a request
volumes      operations on volumes and clones
luns         operations on the LUN numbers of volumes, and read-only volumes
snapshots    operations on snapshots
schedules    operations on schedules of snapshots
differences  pages of changed and allocated ranges
describe     volumes and snapshots as plain data
table        the table of all operations
"""
