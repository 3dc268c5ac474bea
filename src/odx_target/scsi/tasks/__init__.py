"""Tasks: a command under way, its outcome, its order in the task set, and task management (SAM-5)."""
