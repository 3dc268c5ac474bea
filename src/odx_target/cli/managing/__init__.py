"""The subcommands `manage`, `status`, `fault` and `port-group`, and how all commands ask a running array."""
