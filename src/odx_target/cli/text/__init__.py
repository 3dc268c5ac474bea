"""Output for a terminal: tables, sizes, dumps, progress, errors."""
