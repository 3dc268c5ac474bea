"""The configuration of an array: settings, CHAP, TOML files."""
