"""The paths of an array: it opens them at its start, adds and removes them, and finds them by name and by peer."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from odx_target.environment import Environment
from odx_target.replica.link.errors import LinkError
from odx_target.replica.link.hello import LIFE_BYTES, Hello
from odx_target.replica.paths.connection import Dialler
from odx_target.replica.paths.path import Path, PathCallbacks
from odx_target.replica.paths.path_record import PREFIX, InvalidPathRecord, decode_path, encode_path
from odx_target.replica.paths.settings import MAX_PATHS, PathSettings
from odx_target.store.api import Pool


class PathRefused(LinkError):
    """A path cannot be added, or does not exist. The message is one line."""


class PathTable(Mapping[str, Path]):
    """The paths by name. `start` begins to dial, and `stop` ends all links.

    The pool remembers the paths. A change is in the open batch of the pool until the caller commits it.
    """

    def __init__(self, pool: Pool, environment: Environment, dialler: Dialler, callbacks: PathCallbacks) -> None:
        self._pool = pool
        self._environment = environment
        self._dialler = dialler
        self._callbacks = callbacks
        self._hello = Hello(pool.identity, environment.entropy(LIFE_BYTES))
        self._paths: dict[str, Path] = {}
        self.unreadable: list[str] = []
        """Names of the paths whose records could not be read."""
        self.foreign: list[str] = []
        """Names of the paths that belong to the pool from which this pool was copied."""

    def __getitem__(self, name: str) -> Path:
        return self._paths[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def start(self) -> None:
        """Open the paths that the pool remembers."""
        for key in sorted(self._pool.remembered_keys(PREFIX)):
            name = key.removeprefix(PREFIX)
            try:
                settings = decode_path(name, self._pool.remembered(key) or b"", self._pool.identity)
            except InvalidPathRecord:
                self.unreadable.append(name)
                continue
            if settings is None:
                self.foreign.append(name)
            else:
                self._open(settings)

    def stop(self) -> None:
        """End the links of all paths. The paths stay remembered."""
        for path in self._paths.values():
            path.remove()

    def add(self, settings: PathSettings) -> Path:
        """Add a path, remember it, and dial at once. Raises PathRefused. May raise the exceptions of `Volume.write`."""
        self.check_new(settings.name)
        self._check_identity(settings)
        if settings.peer_pool == self._pool.identity:
            raise PathRefused("an array cannot have a path to itself")
        self._remember(settings)
        return self._open(settings)

    def check_new(self, name: str) -> None:
        """Check that a path with this name can be added. Raises PathRefused."""
        if name in self._paths:
            raise PathRefused(f"there is a path {name} already")
        if len(self._paths) >= MAX_PATHS:
            raise PathRefused(f"the array has {MAX_PATHS} paths, which is the limit")

    def remove(self, name: str) -> None:
        """Remove a path, and end its links. Raises PathRefused. May raise the exceptions of `Volume.write`."""
        path = self.existing(name)
        self._pool.forget(PREFIX + name)
        del self._paths[name]
        path.remove()

    def change(self, settings: PathSettings) -> None:
        """Remember new settings of a path, and use them at once. The path keeps its name and its peer's pool.

        Raises PathRefused. May raise the exceptions of `Volume.write`.
        """
        path = self.existing(settings.name)
        if path.settings.peer_pool != settings.peer_pool:
            raise PathRefused(f"the path {settings.name} leads to another array")
        self._check_identity(settings)
        self._remember(settings)
        path.change(settings)

    def take_next_secret(self, path: Path) -> bool:
        """Use the next secret of a path from now on. Returns False if the path was removed, or has none.

        Raises PathRefused. May raise the exceptions of `Volume.write`.
        """
        settings = path.settings
        if self._paths.get(settings.name) is not path or not settings.next_secret:
            return False
        self.change(replace(settings, secret=settings.next_secret, next_secret=b""))
        return True

    def existing(self, name: str) -> Path:
        """Return the path with a name. Raises PathRefused if there is none."""
        path = self._paths.get(name)
        if path is None:
            raise PathRefused(f"there is no path {name}")
        return path

    def _check_identity(self, settings: PathSettings) -> None:
        """Check that no other path has the peer of these settings. Raises PathRefused.

        A peer says itself which certificate and maker it has, and must not take those of another peer.
        """
        others = [path.settings for path in self._paths.values() if path.settings.name != settings.name]
        if any(other.peer_pool == settings.peer_pool for other in others):
            raise PathRefused("there is a path to this array already")
        if any(other.peer_certificate == settings.peer_certificate for other in others):
            raise PathRefused("another path has the same certificate")
        if any(other.peer_maker == settings.peer_maker for other in others):
            raise PathRefused("another path has the same maker of tokens")

    def to_maker(self, maker: bytes) -> Path | None:
        """Return the path to the array that makes tokens with this maker identity."""
        return next((path for path in self._paths.values() if path.settings.peer_maker == maker), None)

    def to_certificate(self, certificate: bytes) -> Path | None:
        """Return the path to the array with this certificate."""
        return next((path for path in self._paths.values() if path.settings.peer_certificate == certificate), None)

    def _remember(self, settings: PathSettings) -> None:
        self._pool.remember(PREFIX + settings.name, encode_path(settings, self._pool.identity))

    def _open(self, settings: PathSettings) -> Path:
        path = Path(settings, self._hello, self._environment, self._dialler, self._callbacks)
        self._paths[settings.name] = path
        self._environment.start_soon(path.run)
        return path
