"""The subcommands `snapshot`, `clone` and `volume`. The subcommands send requests to the array that serves a pool. If no array
serves the pool, the subcommands change the pool itself.
"""
