"""The tokens of this array that peers use now. A lease keeps its token from expiring, and keeps the data of the token.

A lease belongs to one path. A lease without a request for `LEASE_TIMEOUT_S` ends, because the peer has gone.
"""

from collections import Counter
from dataclasses import dataclass

from odx_target.copymgr.commands.write_using_token import TokenUse
from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.referenced_rod import ReferencedRod
from odx_target.copymgr.tokens.rod_source import RodSource
from odx_target.copymgr.tokens.rod_token import RodToken, TokenEnd
from odx_target.environment import Environment
from odx_target.replica.remote_tokens.limits import LEASE_TIMEOUT_S
from odx_target.replica.remote_tokens.messages import LEASE_BYTES


@dataclass(eq=False)
class Lease:
    """A lease on a token. `requests` is the number of requests for its data that are served now."""

    identifier: bytes
    path_name: str
    token: RodToken
    rod: RodSource
    use: TokenUse
    used_at_s: float
    requests: int = 0
    has_ended: bool = False


class LeaseTable:
    """The leases of all paths. `environment` has the time of the link; the time of tokens is that of `copies`."""

    def __init__(self, copies: Copies, environment: Environment) -> None:
        self._copies = copies
        self._environment = environment
        self._leases: dict[bytes, Lease] = {}
        self._by_token: dict[tuple[str, int], Lease] = {}
        self._counts: Counter[str] = Counter()
        self._is_watching = False

    def __len__(self) -> int:
        return len(self._leases)

    def count_of(self, path_name: str) -> int:
        """Return the number of leases of a path."""
        return self._counts[path_name]

    def present(self, path_name: str, token: RodToken) -> Lease | None:
        """Return the lease that a path has on a token already. A token without data of its own gets a new lease each time."""
        if isinstance(token.rod, ReferencedRod):
            return None
        return self._by_token.get((path_name, token.identifier))

    def add(self, path_name: str, token: RodToken, rod: RodSource) -> Lease:
        """Lease a token to a path. `rod` is its data; the lease releases it."""
        use = TokenUse(self._copies, token, rod, delete=False)
        identifier = self._environment.entropy(LEASE_BYTES)
        lease = Lease(identifier, path_name, token, rod, use, self._environment.monotonic())
        self._leases[identifier] = self._by_token[path_name, token.identifier] = lease
        self._counts[path_name] += 1
        if not self._is_watching:
            self._is_watching = True
            self._environment.start_soon(self._watch)
        return lease

    def find(self, path_name: str, identifier: bytes) -> Lease | None:
        """Return a lease of a path, and note that it is used. Returns None if the path has no such lease."""
        lease = self._leases.get(identifier)
        if lease is None or lease.path_name != path_name:
            return None
        lease.used_at_s = self._environment.monotonic()
        return lease

    def begin_request(self, lease: Lease) -> None:
        """Note that a request for the data of a lease is served. The data stays until `end_request`."""
        lease.requests += 1

    def end_request(self, lease: Lease) -> None:
        lease.requests -= 1
        lease.used_at_s = self._environment.monotonic()
        if lease.has_ended and not lease.requests:
            self._give_back(lease)

    def end(self, lease: Lease, *, delete: bool = False) -> None:
        """End a lease. If `delete` is True, delete its token. Requests that are served still get its data."""
        if self._leases.pop(lease.identifier, None) is None:
            return
        key = lease.path_name, lease.token.identifier
        if self._by_token.get(key) is lease:
            del self._by_token[key]
        self._counts[lease.path_name] -= 1
        self._counts += Counter()  # Forget paths without leases.
        lease.has_ended = True
        if delete:
            self._copies.tokens.finish(lease.token, TokenEnd.DELETED, self._copies.environment.monotonic())
        if not lease.requests:
            self._give_back(lease)

    def end_all(self) -> None:
        """End all leases, because the array stops."""
        for lease in list(self._leases.values()):
            lease.requests = 0
            self.end(lease)

    def _give_back(self, lease: Lease) -> None:
        lease.use.end(False, self._copies.environment.monotonic())

    async def _watch(self) -> None:
        """End the leases that peers do not use any more."""
        while self._leases:
            now_s = self._environment.monotonic()
            idle = [lease for lease in self._leases.values() if not lease.requests]
            for lease in idle:
                if now_s - lease.used_at_s >= LEASE_TIMEOUT_S:
                    self.end(lease)
            times = [lease.used_at_s if not lease.requests else now_s for lease in self._leases.values()]
            if times:
                await self._environment.sleep(max(0.001, min(times) + LEASE_TIMEOUT_S - now_s))
        self._is_watching = False
