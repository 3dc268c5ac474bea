"""Schedules: snapshots that the array takes at set times, and deletes when they are old enough.

calendar     the moments at which a schedule runs
due_moments  the moments that have run, and the decision which moment is due
schedule     a schedule: its calendar, its retention and its consistency
fields       a schedule from the values in TOML or JSON, and back
retention    the snapshots that a schedule may delete, and the reasons why it keeps others
book         the schedules of a pool, stored in the pool
commands     the commands that run before and after a snapshot
taking       takes the snapshots of one moment
deleting     deletes the snapshots that retention does not keep
runner       runs schedules under the clock of the array
templates    schedules from the configuration file
"""
