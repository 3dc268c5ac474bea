"""The times of leases. All of them are measured by monotonic clocks; no member trusts the time of day of another."""

LEASE_S = 4.0
"""Time for which the primary may serve, from the moment at which it *sent* its request."""

PROMISE_S = 5.0
"""Time for which the grantor of a lease supports no other primary, from the moment at which it granted the lease.

A promise is longer than a lease, so that a lease has always ended before its promise if neither clock is wrong by more than a
tenth.
"""

RENEWAL_INTERVAL_S = 1.0
"""Interval at which the primary requests leases."""

RETRY_INTERVAL_S = 0.5
"""Interval at which a request is repeated until it is answered."""
