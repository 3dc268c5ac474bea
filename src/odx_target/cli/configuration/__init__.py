"""Subcommands about what an array is configured with: `check-config`, `import-config` and `personality`."""
