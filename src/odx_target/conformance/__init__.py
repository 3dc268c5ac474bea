"""Checks of the behaviour of any iSCSI target: iSCSI, SPC and SBC commands, token copy, EXTENDED COPY and reservations.

`catalogue.CHECKS` has all checks. `runner.run_checks` runs them, and `wire.WireEquipment` opens the sessions that they use.
"""
