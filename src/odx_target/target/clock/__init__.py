"""The time of an array that a tester advances.

Three times are kept apart. The array's time is that of tokens, schedules, copy rates and results of copies. The time of
connections is that of logins, pings and awaited data: peers answer in real time, so this time advances only on request. The
store always waits in real time, because it waits for the machine.
"""
