"""What an array is told at its start: settings, CHAP, TOML files."""
