"""The command line: `odx-target` and its subcommands."""
