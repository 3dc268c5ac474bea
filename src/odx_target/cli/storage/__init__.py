"""The subcommands `volume`, `lun`, `snapshot`, `clone` and `schedule`. The subcommands send requests to the array that serves a
pool. If no array serves the pool, the subcommands change the pool itself.
"""
