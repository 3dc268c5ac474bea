"""Two arrays pair by a path key over a network with faults, and perhaps with a man in the middle.

Both get the same secret and each other's certificate, or nobody gets anything. A wrong key and a man in the middle never
succeed, and no side makes more than three attempts.
"""

from collections.abc import Callable

from odx_target.environment import Buffer
from odx_target.replica.edge.dialler import converse
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.throttle import Rates
from odx_target.replica.pairing.desk import MAX_ATTEMPTS, NotWaiting, PairingDesk, WaitingPath
from odx_target.replica.pairing.handshake import (
    PAIRING_TIMEOUT_S,
    AcceptorHandshake,
    DiallerHandshake,
    Paired,
    PairingFailed,
    refusal,
)
from odx_target.replica.pairing.messages import NONCE_BYTES, Identity
from odx_target.replica.paths.connection import Connection, ConnectionLost
from tests.sim.network import Network
from tests.sim.world import World, WorldEnvironment

RETRY_S = 1.0
ATTACK_S = 8.0
"""Time in which an attacker changes bytes. After it, the pairing must succeed if attempts are left."""

ATTACKS = ("none", "none", "wrong key", "man in the middle", "changed byte", "replay")


def play(world: World) -> None:
    random = world.random
    attack = random.choice(ATTACKS)
    world.note(f"attack {attack}")
    network = Network(world)
    key = random.randbytes(32)
    other_key = random.randbytes(32) if attack == "wrong key" else key
    dialler = _Side(world, "dialler", key)
    acceptor = _Side(world, "acceptor", other_key)
    _plan_faults(world, network)
    recorded: list[bytes] = []

    def dial() -> tuple[Connection, bytes]:
        """Connect the dialler. Returns its end, and the certificate that it sees."""
        ours, theirs = network.connect(dialler.environment, acceptor.environment)
        shown = acceptor.identity.certificate
        if attack == "man in the middle":
            shown = random.randbytes(40)  # TLS proves that he has the key of the certificate that he shows.
        change = _changer(world) if attack == "changed byte" and world.now_s < ATTACK_S else None
        acceptor.environment.start_soon(acceptor.accept, theirs, recorded, change)
        return ours, shown

    dialler.environment.start_soon(dialler.run, dial)
    world.advance(60.0)
    network.on_connection = None
    world.advance(700.0)
    if attack == "replay":
        _replay(world, network, acceptor, recorded)
    _check(attack, dialler, acceptor)


def _plan_faults(world: World, network: Network) -> None:
    random = world.random
    chance = random.choice([0, 0, 2, 5])

    def plan(link: object) -> None:
        if random.randrange(10) < chance:
            world.fault("cut at a byte")
            direction = random.choice(link.ends).outgoing  # type: ignore[attr-defined]
            direction.cut_after_bytes = random.randrange(400)

    network.on_connection = plan


def _changer(world: World) -> Callable[[bytes], bytes]:
    """Return a function that changes one byte, as an attacker who has broken TLS could."""

    def change(data: bytes) -> bytes:
        at = world.random.randrange(len(data))
        world.fault("changed byte")
        return data[:at] + bytes([data[at] ^ world.random.randint(1, 255)]) + data[at + 1 :]

    return change


def _replay(world: World, network: Network, acceptor: "_Side", recorded: list[bytes]) -> None:
    """Send the frames of the dialler again, to an array that waits for the same key again."""
    acceptor.paired = None
    acceptor.waiting = acceptor.desk.add("peer", acceptor.waiting.key, None, frozenset(), Rates())
    stranger = world.environment("stranger")
    ours, theirs = network.connect(stranger, acceptor.environment)
    acceptor.environment.start_soon(acceptor.accept, theirs, [], None)

    async def send() -> None:
        for data in recorded:
            try:
                await ours.send([data])
            except ConnectionLost:
                return
            await stranger.sleep(1.0)

    stranger.start_soon(send)
    world.advance(30.0)
    world.fault("replay")
    assert acceptor.paired is None, "a replayed pairing has succeeded"


def _check(attack: str, dialler: "_Side", acceptor: "_Side") -> None:
    for side in (dialler, acceptor):
        assert side.waiting.attempts <= MAX_ATTEMPTS
        assert not side.failures, side.failures
    if attack in ("wrong key", "man in the middle"):
        assert dialler.paired is acceptor.paired is None, f"a pairing has succeeded in spite of a {attack}"
    if dialler.paired is not None and attack != "replay":
        assert acceptor.paired is not None, "the dialler has paired with nobody"
        assert dialler.paired.secret == acceptor.paired.secret
        assert dialler.paired.peer == acceptor.identity
        assert acceptor.paired.peer == dialler.identity
    if attack in ("none", "changed byte", "replay") and not (dialler.waiting.attempts or acceptor.waiting.attempts):
        assert dialler.paired is not None, "the pairing has not succeeded"


class _Side:
    """One array, as far as pairings concern it."""

    def __init__(self, world: World, name: str, key: bytes) -> None:
        self.environment: WorldEnvironment = world.environment(name, world.random.uniform(0.9, 1.1))
        self.identity = Identity(
            self.environment.entropy(16), self.environment.entropy(16), self.environment.entropy(world.random.randint(1, 600))
        )
        self.desk = PairingDesk(self.environment.monotonic, lambda _: None)
        self.waiting: WaitingPath = self.desk.add("peer", key, None, frozenset(), Rates())
        self.paired: Paired | None = None
        self.failures: list[str] = []

    async def run(self, dial: Callable[[], tuple[Connection, bytes]]) -> None:
        """Dial until the pairing has succeeded, or the path waits no longer."""
        while self.paired is None and self.waiting in self.desk.waiting():
            connection, shown = dial()
            handshake = DiallerHandshake(self.waiting.key, self.identity, shown, self.environment.entropy(NONCE_BYTES))
            self.environment.start_soon(self._close_later, connection)
            try:
                self.paired = await converse(connection, handshake)
            except (PairingFailed, PeerFault, ConnectionLost):
                if handshake.has_proved:
                    self.desk.failed("the pairing has failed", [self.waiting])
            connection.close()
            await self.environment.sleep(RETRY_S)

    async def _close_later(self, connection: Connection) -> None:
        await self.environment.sleep(PAIRING_TIMEOUT_S)
        connection.close()

    async def accept(self, connection: Connection, recorded: list[bytes], change: Callable[[bytes], bytes] | None) -> None:
        """Serve a connection. `recorded` gets what the dialler sends, and `change` changes it."""
        self.environment.start_soon(self._close_later, connection)
        try:
            handshake = AcceptorHandshake(self.desk.keys, self.identity, self.environment.entropy(NONCE_BYTES))
            is_over = False
            while not is_over and (data := await connection.receive()):
                is_over = await self._received(connection, handshake, data, recorded, change)
        except (NotWaiting, PairingFailed, PeerFault) as error:
            if isinstance(error, PairingFailed) and error.is_attempt:
                self.desk.failed(str(error))
            await self._say(connection, refusal(str(error)))
        except ConnectionLost:
            pass
        connection.close()

    async def _received(
        self,
        connection: Connection,
        handshake: AcceptorHandshake,
        data: Buffer,
        recorded: list[bytes],
        change: Callable[[bytes], bytes] | None,
    ) -> bool:
        content = bytes(data)
        recorded.append(content)
        output, paired = handshake.receive(content if change is None else change(content))
        if paired is not None:
            if self.paired is not None and self.paired.secret != paired.secret:
                self.failures.append("a second pairing has another secret")
            self.paired = paired
        if output:
            await connection.send([output])
        return paired is not None

    async def _say(self, connection: Connection, data: bytes) -> None:
        try:
            await connection.send([data])
        except ConnectionLost:
            return
