"""The subcommand `path`."""
