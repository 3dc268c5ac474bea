"""Tasks: what comes of them, their order, and task management (SAM-5)."""
