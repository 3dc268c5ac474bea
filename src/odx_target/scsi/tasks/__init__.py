"""Tasks: commands that are being executed, their outcomes, their order in task sets, and task management (SAM-5)."""
