"""The subcommands of `odx-target`, a module each."""
