"""The paths of an array to its peers: the link port, and the pairings that operators begin."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any, NamedTuple

import trio

from odx_target.copymgr.shared_state import Copies
from odx_target.replica.blocks.hint_tables import HintTables
from odx_target.replica.edge.dialler import TlsDialler, pair_with
from odx_target.replica.edge.listener import ListenerCallbacks, PeerListener
from odx_target.replica.edge.tls import OwnCertificate, is_certificate
from odx_target.replica.grouping.grouping import Grouping
from odx_target.replica.grouping.luns import MemberLuns
from odx_target.replica.link.throttle import Rates
from odx_target.replica.pairing.desk import PairingDesk, WaitingPath
from odx_target.replica.pairing.handshake import Paired, PairingFailed, path_secret
from odx_target.replica.pairing.messages import NONCE_BYTES, Identity
from odx_target.replica.pairing.path_key import stretched
from odx_target.replica.paths.connection import DialFailed
from odx_target.replica.paths.path import Path, PathCallbacks
from odx_target.replica.paths.path_table import PathRefused, PathTable
from odx_target.replica.paths.settings import Address, PathSettings, Right
from odx_target.replica.remote_tokens.redeemer import Redeemer
from odx_target.replica.remote_tokens.staging import delete_volumes, left_over_volumes
from odx_target.replica.remote_tokens.token_server import IsMapped, TokenServer
from odx_target.replica.remote_tokens.unit_writer import NexusOf, UnitWriter
from odx_target.replica.request_table import RequestTable
from odx_target.replica.snapshots.replication import Replication
from odx_target.replica.snapshots.sending import SnapshotClass
from odx_target.replica.sync.group_table import GroupTable
from odx_target.scsi.device_server import DeviceServer
from odx_target.store.api import Pool, Snapshot, StoreError
from odx_target.target.accepting_clients import accept_all
from odx_target.target.listening_sockets import Listening
from odx_target.target.peers.own_certificate import own_certificate
from odx_target.target.reporter import Reporter
from odx_target.target.server.congestion_control import avoid_pacing
from odx_target.target.trio_environment import TrioEnvironment

STOP_TIME_S = 0.05
"""Time for the last frames of all links when the array stops, so that the peers learn why. They notice it anyway."""

PAIRING_RETRY_S = 1.0
"""Delay before an array that waits for its pairing dials again. The operator may still be on the way to the other array."""

REFUSAL_LINES = 10
"""Maximum number of lines in the log per minute about peers that are refused."""


class TokenSharing(NamedTuple):
    """The parts of an array that the tokens of the array and of its peers need. `is_mapped` is that of `TokenServer`, and
    `nexus_of` that of `UnitWriter`.

    `on_change` is called when hosts can use tokens of other arrays from now on, or can no longer use them.
    """

    copies: Copies
    server: DeviceServer
    is_mapped: IsMapped
    nexus_of: NexusOf
    on_change: Callable[[], None]


class Peering:
    """The paths of a running array. `make_durable` makes changes of the pool durable.

    `maker` is the identity in the tokens of this array. Without `tokens`, peers and hosts cannot use tokens of other arrays.
    `class_of` returns the class of a snapshot for its retention at a peer.
    """

    def __init__(
        self,
        pool: Pool,
        environment: TrioEnvironment,
        certificate: OwnCertificate,
        maker: bytes,
        reporter: Reporter,
        make_durable: Callable[[], Awaitable[None]],
        tokens: TokenSharing | None = None,
        class_of: Callable[[Snapshot], SnapshotClass | None] = lambda _: None,
    ) -> None:
        self.identity = Identity(pool.identity, maker, certificate.certificate)
        self.desk = PairingDesk(environment.monotonic, self._ended_waiting)
        served = writer = None
        if tokens is not None:
            served = TokenServer(tokens.copies, environment, tokens.is_mapped)
            writer = UnitWriter(tokens.copies, tokens.server, tokens.nexus_of, environment)
        self.requests = requests = RequestTable(pool, environment, served, writer)
        callbacks = PathCallbacks(requests.serve, self._path_changed, self._report_internal_error, self._new_key_found)
        self.paths = PathTable(pool, environment, TlsDialler(certificate, avoid_pacing), callbacks)
        self.hints = HintTables()
        self.redeemer: Redeemer | None = None
        """The tokens of other arrays that hosts use."""
        if tokens is not None:
            report = self._report_internal_error
            self.redeemer = Redeemer(tokens.copies, self.paths, self.hints, environment, report)
        self._tokens = tokens
        self._served_tokens = served
        self._accepted_tokens = False
        self.replication = Replication(pool, environment, self.paths.values, class_of, reporter.report, self.hints)
        self.replication.add_to(requests)
        self.groups = GroupTable(pool, environment, self.paths.values)
        self.groups.add_to(requests)
        self.grouping: Grouping | None = None
        """Makes and removes groups."""
        self.listening: Listening | None = None
        """The link port. None if the array listens to no peers."""
        self.pairing_places: list[FilePath] = []
        """Pools on this machine with whose arrays the array will be paired."""
        self._environment = environment
        self._certificate = certificate
        self._reporter = reporter
        self._make_durable = make_durable

    def serve_grouping(self, pool: Pool, luns: MemberLuns) -> None:
        """Make and remove groups on request. `luns` are the LUNs of the array."""
        self.grouping = Grouping(pool, self._environment, self.groups, self.paths, luns)
        self.grouping.add_to(self.requests)

    def start(self, listening: Listening | None, nursery: trio.Nursery) -> None:
        """Begin to dial the peers of all paths, and to listen at the link port. Takes its socket over."""
        self.paths.start()
        if self.redeemer is not None and self._tokens is not None:
            self._tokens.copies.remote = self.redeemer
            self._environment.start_soon(self.redeemer.watch)
            pool = self._tokens.copies.pool
            self._environment.start_soon(delete_volumes, pool, self._environment, left_over_volumes(pool))
            self._note_accepted_tokens()
        for name in self.paths.unreadable:
            self._reporter.report("error", "a path cannot be read and is not used", path=name)
        for name in self.paths.foreign:
            self._reporter.report("warning", "a path belongs to the pool that was copied and is not used", path=name)
        for key in self.replication.records.unreadable:
            self._reporter.report("error", "a record of the replication cannot be read and is not used", record=key)
        self._environment.start_soon(self.replication.run)
        self.groups.start()
        for name in (*self.groups.unreadable, *self.groups.witness_desk.unreadable):
            self._reporter.report("error", "a group cannot be read and is not served", cause=name, group=name)
        self.listening = listening
        if listening is not None:
            nursery.start_soon(self._listen, listening)

    async def _listen(self, listening: Listening) -> None:
        callbacks = ListenerCallbacks(self._paired, self._refused)
        entropy = self._environment.entropy
        peers = PeerListener(self._certificate, self.identity, self.paths, self.desk, entropy, callbacks, avoid_pacing)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listening.socket))
        async with listener, trio.open_nursery() as nursery:
            await accept_all(listener, peers.serve, nursery, "a peer cannot be accepted")

    def monotonic(self) -> float:
        """Return the time of the clock of the links."""
        return self._environment.monotonic()

    def stop(self) -> None:
        """End all links. The peers learn why."""
        self.groups.stop()
        self.paths.stop()
        if self._tokens is not None:
            self._tokens.copies.remote = None
        if self._served_tokens is not None:
            self._served_tokens.leases.end_all()

    def _note_accepted_tokens(self) -> None:
        """Notify hosts if VPD page 8Fh has changed, because tokens of other arrays are now accepted or not accepted."""
        if self._tokens is None or self.redeemer is None or self.redeemer.are_accepted is self._accepted_tokens:
            return
        self._accepted_tokens = self.redeemer.are_accepted
        self._tokens.on_change()

    async def add(self, name: str, key: str, address: Address | None, rights: frozenset[Right], rates: Rates) -> WaitingPath:
        """Wait for the pairing of a new path, and dial the peer if its address is known. `key` is the path key.

        Raises InvalidPathKey and PathRefused.
        """
        self.paths.check_new(name)
        secret = await self._stretched(name, key)
        return self._wait(self.desk.add(name, secret, address, rights, rates))

    async def rekey(self, name: str, key: str) -> WaitingPath:
        """Wait for a new pairing of a path, which gives it a new secret and the present certificate of its peer.

        The path is used meanwhile. Raises InvalidPathKey and PathRefused. May raise the exceptions of `Volume.write`.
        """
        self.paths.existing(name)
        secret = await self._stretched(name, key)
        found = self.paths.existing(name).settings
        # If the last frame of the pairing is lost, the peer has this secret already, and says so at the next connection.
        self.paths.change(replace(found, next_secret=path_secret(secret, self.identity.pool, found.peer_pool)))
        await self._make_durable()
        return self._wait(self.desk.add(name, secret, found.address, found.rights, found.rates, is_rekeyed=True))

    async def _stretched(self, name: str, key: str) -> bytes:
        """Return the secret of a path key. Raises InvalidPathKey, and PathRefused if another path waits with this key."""
        secret = await self._environment.in_thread(stretched, key)
        if any(each.key == secret and each.name != name for each in self.desk.waiting()):
            raise PathRefused("another path waits with the same path key; make a key for each path")
        return secret

    def _wait(self, waiting: WaitingPath) -> WaitingPath:
        if waiting.address is not None:
            self._environment.start_soon(self._pair, waiting, waiting.address)
        return waiting

    async def change(self, name: str, **changes: Any) -> Path:
        """Change fields of the settings of a path, such as `rates` and `rights`. They apply at once. Raises PathRefused.

        May raise the exceptions of `Volume.write`.
        """
        path = self.paths.existing(name)
        self.paths.change(replace(path.settings, **changes))
        self._note_accepted_tokens()
        self.requests.rights_changed(path)
        self.replication.rights_changed(path)
        await self._make_durable()
        return path

    async def remove(self, name: str) -> None:
        """Remove a path, or wait no longer for its pairing. Raises PathRefused."""
        if self.desk.remove(name) and name not in self.paths:
            return
        self.paths.remove(name)
        self._forget_hints()
        self._note_accepted_tokens()
        await self._make_durable()

    async def _pair(self, waiting: WaitingPath, address: Address) -> None:
        """Dial the peer of a path until it is paired or waits no longer."""
        while waiting in self.desk.waiting() and not waiting.is_paired:
            nonce = self._environment.entropy(NONCE_BYTES)
            try:
                await self._paired(await pair_with(address, waiting.key, self.identity, nonce))
                if waiting.is_rekeyed:
                    self.desk.remove(waiting.name)  # The peer has the new key already.
            except DialFailed as error:
                waiting.reason = str(error)
            except PairingFailed as error:
                if error.is_attempt:
                    self.desk.failed(str(error), [waiting])
                waiting.reason = str(error)
            await self._environment.sleep(PAIRING_RETRY_S)

    async def _paired(self, paired: Paired) -> None:
        """Add or change the path of a pairing that has succeeded. Raises PairingFailed.

        The path waits on, because the peer may not have received the last frame, and then pairs again.
        """
        waiting = next((each for each in self.desk.waiting() if each.key == paired.key), None)
        if waiting is None:
            raise PairingFailed("the path waits no longer", is_attempt=False)
        if not is_certificate(paired.peer.certificate):
            raise PairingFailed("the peer has sent no valid certificate", is_attempt=False)
        settings = PathSettings(
            waiting.name,
            waiting.address,
            *paired.peer,
            secret=paired.secret,
            rights=waiting.rights,
            rates=waiting.rates,
            compression=waiting.compression,
        )
        try:
            has_changed = self._use(settings, waiting)
            await self._make_durable()
        except (PathRefused, StoreError) as error:
            raise PairingFailed(str(error), is_attempt=False) from error
        waiting.is_paired = True
        if has_changed:
            event = "a path has a new key" if waiting.is_rekeyed else "a path is paired"
            self._reporter.report("info", event, path=waiting.name)

    def _use(self, settings: PathSettings, waiting: WaitingPath) -> bool:
        """Add a path that was paired, or change the path. Returns False if the pairing has repeated another one.

        Raises PathRefused. May raise the exceptions of `Volume.write`.
        """
        path = self.paths.get(settings.name)
        if path is None:
            self.paths.add(settings)
            self._note_accepted_tokens()
            return True
        found = path.settings
        if found.peer_certificate == settings.peer_certificate and found.secret == settings.secret:
            return False
        if not waiting.is_rekeyed:
            raise PathRefused(f"there is a path {settings.name} already")
        self.paths.change(
            replace(
                found,
                peer_pool=settings.peer_pool,
                peer_maker=settings.peer_maker,
                peer_certificate=settings.peer_certificate,
                secret=settings.secret,
                next_secret=b"",
            )
        )
        self._forget_hints()
        return True

    def _new_key_found(self, path: Path) -> None:
        self._environment.start_soon(self._take_new_key, path)

    async def _take_new_key(self, path: Path) -> None:
        """Use the next secret of a path from now on, because the peer has it already: it has proved the key at the pairing."""
        name = path.settings.name
        try:
            if not self.paths.take_next_secret(path):
                return
            await self._make_durable()
        except (PathRefused, StoreError) as error:
            # The next connection tries it again.
            self._reporter.report("warning", "a path cannot take over its new key", cause=name, path=name, error=str(error))
            return
        self.desk.remove(name)
        self._forget_hints()
        self._reporter.report("info", "a path has a new key", path=name)

    def _forget_hints(self) -> None:
        """Free the memory of the hints of paths that were removed, and of former secrets."""
        self.hints.keep(path.settings.secret for path in self.paths.values())

    def _path_changed(self, path: Path, line: str) -> None:
        name = path.settings.name
        self.replication.path_changed(path)
        if path.link is not None:
            self._connected(name)
            if reason := path.status.reason:
                self._reporter.report("warning", "a path is connected", cause=name, path=name, error=reason)
            else:
                self._reporter.report("info", "a path is connected", cause=name, path=name)
        else:
            self._reporter.report("warning", "a path is not connected", cause=name, path=name, error=line)

    def _connected(self, name: str) -> None:
        """Wait no longer for a path that is connected. A path that gets a new key connects with the former key too."""
        if any(each.name == name and not each.is_rekeyed for each in self.desk.waiting()):
            self.desk.remove(name)

    def _refused(self, reason: str) -> None:
        # A stranger can invent any number of reasons, so they are one cause.
        self._reporter.report("warning", "a peer is refused", lines=REFUSAL_LINES, error=reason)

    def _ended_waiting(self, waiting: WaitingPath) -> None:
        if not waiting.is_paired:
            self._reporter.report(
                "warning", "a path is not paired", cause=waiting.name, path=waiting.name, error=waiting.reason
            )

    def _report_internal_error(self, error: Exception) -> None:
        self._reporter.report("error", "a request of a peer failed inside the array", error=repr(error), exc_info=error)


async def open_peering(
    pool: Pool,
    environment: TrioEnvironment,
    maker: bytes,
    reporter: Reporter,
    make_durable: Callable[[], Awaitable[Any]],
    tokens: TokenSharing | None = None,
    class_of: Callable[[Snapshot], SnapshotClass | None] = lambda _: None,
) -> Peering:
    """Make the Peering of an array, with the certificate that the pool remembers or with a new one."""
    certificate = await own_certificate(pool, environment, reporter)
    return Peering(pool, environment, certificate, maker, reporter, make_durable, tokens, class_of)
