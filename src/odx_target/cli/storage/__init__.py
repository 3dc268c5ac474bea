"""The subcommands `snapshot`, `clone` and `volume`. They send requests to the array that serves a pool. If no array serves the
pool, they change the pool itself.
"""
