"""Subcommands that act as a host of any target, and what they share: options, credentials, sessions, errors."""
