"""The configuration of an array: settings, CHAP accounts and TOML files."""
