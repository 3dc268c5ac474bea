"""Tasks: a task is a command that is being executed.

Outcomes of tasks, their order in task sets, and task management (SAM-5).
"""
