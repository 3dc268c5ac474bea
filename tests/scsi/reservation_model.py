"""A simple model of persistent reservations: the keys of hosts, the reservation, and pending unit attentions.

The model shares nothing with the code under test. Hosts are numbers. A reply is GOOD, CONFLICT or a sense code. A host is one
initiator port at one target port; `twins` are the hosts with the same initiator port at other target ports.
"""

GOOD, CONFLICT = "good", "conflict"
BAD_LIST, BAD_CDB, BAD_RELEASE = (5, 0x26, 0), (5, 0x24, 0), (5, 0x26, 4)
PREEMPTED, RELEASED, UNREGISTERED = (0x2A, 3), (0x2A, 4), (0x2A, 5)
POWER_ON, TARGET_RESET, UNIT_RESET = (0x29, 0), (0x29, 2), (0x29, 3)

WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS = 1, 3
REGISTRANTS_ONLY = (5, 6)
ALL_REGISTRANTS = (7, 8)
TYPES = (WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS, *REGISTRANTS_ONLY, *ALL_REGISTRANTS)

# Reservation type: rights of a holder, of another registered host, and of all others (SPC-4 table 65 and SBC-3 table 13).
MAY = {
    1: ("read write", "read", "read"),
    3: ("read write", "", ""),
    5: ("read write", "read write", "read"),
    6: ("read write", "read write", ""),
    7: ("read write", "read write", "read"),
    8: ("read write", "read write", ""),
}

Answer = str | tuple[int, int, int]


class Model:
    def __init__(self, count_hosts: int) -> None:
        self.keys: dict[int, int] = {}
        self.kind = 0
        self.holder: int | None = None
        self.generation = 0
        self.persists = False
        self.told: list[list[tuple[int, int]]] = [[] for _ in range(count_hosts)]

    # Questions.

    def holders(self) -> list[int]:
        if self.kind in ALL_REGISTRANTS:
            return list(self.keys)
        return [] if self.holder is None else [self.holder]

    def may(self, host: int, what: str) -> bool:
        if not self.kind:
            return True
        column = 0 if host in self.holders() else 1 if host in self.keys else 2
        return what in MAY[self.kind][column].split()

    # What happens around commands.

    def first_attention(self, host: int, *, kept_out: bool = False) -> tuple[int, int] | None:
        """Return the unit attention that a command reports instead of running. Only resets come before a conflict."""
        pending = self.told[host]
        if not pending or (kept_out and pending[0][0] != 0x29):
            return None
        return pending.pop(0)

    def reset(self, kind: tuple[int, int]) -> None:
        self.told = [[kind] for _ in self.told]

    def power_on(self) -> None:
        """Forget everything, unless APTPL was on. No unit attention is pending."""
        self.generation = 0
        self.told = [[] for _ in self.told]
        if not self.persists:
            self.keys, self.kind, self.holder = {}, 0, None

    def tell(self, hosts: list[int], what: tuple[int, int], but: int) -> None:
        for host in hosts:
            if host != but and what not in self.told[host]:
                self.told[host].append(what)

    # Service actions.

    def register(
        self, host: int, key: int, new_key: int, persists: bool, others: list[int] | None, twins: tuple[int, ...] = ()
    ) -> Answer:
        if key != self.keys.get(host, 0):
            return CONFLICT
        for twin in twins:
            if twin in self.keys and self.keys[twin] != key:
                return CONFLICT
        return self.register_and_ignore(host, new_key, persists, others, twins)

    def register_and_ignore(
        self, host: int, new_key: int, persists: bool, others: list[int] | None = None, twins: tuple[int, ...] = ()
    ) -> Answer:
        if others is not None and host in self.keys:
            return BAD_LIST
        if not new_key:
            leaving = [one for one in (host, *twins) if one in self.keys]
            if not leaving:
                return GOOD
            self.leave(leaving)
        else:
            if any(other in self.keys for other in others or []):
                return BAD_LIST
            for one in [host, *twins, *(others or [])]:
                self.keys[one] = new_key
        self.persists = persists
        return self.counted()

    def leave(self, hosts: list[int]) -> None:
        held = any(host in self.holders() for host in hosts)
        for host in hosts:
            del self.keys[host]
        if held and (self.kind not in ALL_REGISTRANTS or not self.keys):
            if self.kind in REGISTRANTS_ONLY:
                self.tell(list(self.keys), RELEASED, hosts[0])
            self.kind, self.holder = 0, None

    def reserve(self, host: int, key: int, scope: int, kind: int) -> Answer:
        if self.keys.get(host) != key:
            return CONFLICT
        if scope or kind not in TYPES:
            return BAD_CDB
        if not self.kind:
            self.take(host, kind)
            return GOOD
        return GOOD if host in self.holders() and kind == self.kind else CONFLICT

    def take(self, host: int, kind: int) -> None:
        self.kind, self.holder = kind, None if kind in ALL_REGISTRANTS else host

    def release(self, host: int, key: int, scope: int, kind: int) -> Answer:
        if self.keys.get(host) != key:
            return CONFLICT
        if host not in self.holders():
            return GOOD
        if scope or kind != self.kind:
            return BAD_RELEASE
        if kind not in (WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS):
            self.tell(list(self.keys), RELEASED, host)
        self.kind, self.holder = 0, None
        return GOOD

    def clear(self, host: int, key: int) -> Answer:
        if self.keys.get(host) != key:
            return CONFLICT
        self.tell(list(self.keys), PREEMPTED, host)
        self.keys, self.kind, self.holder = {}, 0, None
        return self.counted()

    def preempt(self, host: int, key: int, victims_key: int, scope: int, kind: int) -> Answer:
        if self.keys.get(host) != key:
            return CONFLICT
        if victims_key == 0:
            if self.kind not in ALL_REGISTRANTS:
                return BAD_LIST
            return self.replace(host, list(self.keys), scope, kind)
        victims = [one for one in self.keys if self.keys[one] == victims_key]
        if not victims:
            return CONFLICT
        if self.holder in victims:
            return self.replace(host, victims, scope, kind)
        self.tell(victims, UNREGISTERED, host)
        for one in victims:
            del self.keys[one]
        if not self.keys:
            self.kind = 0
        return self.counted()

    def replace(self, host: int, victims: list[int], scope: int, kind: int) -> Answer:
        if scope or kind not in TYPES:
            return BAD_CDB
        self.tell(victims, UNREGISTERED, host)
        for one in victims:
            if one != host:
                del self.keys[one]
        if kind != self.kind:
            self.tell(list(self.keys), RELEASED, host)
        self.take(host, kind)
        return self.counted()

    def move(
        self, host: int, key: int, new_key: int, to: int, unregister: bool, persists: bool, twins: tuple[int, ...] = ()
    ) -> Answer:
        if self.keys.get(host) != key:
            return CONFLICT
        if not self.kind:
            return BAD_CDB
        if self.holder != host:
            return CONFLICT
        if not new_key or to == host or to in twins:
            return BAD_LIST
        self.keys[to] = new_key
        self.holder = to
        if unregister:
            del self.keys[host]
        self.persists = persists
        return self.counted()

    def counted(self) -> Answer:
        self.generation += 1
        return GOOD
