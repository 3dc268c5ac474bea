"""The use of tokens of other arrays: the search for the path to the maker of a token, and the tokens that are in use."""

from collections import Counter
from collections.abc import Callable

from odx_target.copymgr.shared_state import Copies
from odx_target.copymgr.tokens.format import decode_head
from odx_target.copymgr.tokens.remote import RemoteRequest, RemoteWrite, UnitBlocks, Written
from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.environment import Environment
from odx_target.replica.blocks.hint_tables import HintTables
from odx_target.replica.paths.exchange import RequestDenied
from odx_target.replica.paths.path import Path
from odx_target.replica.paths.path_table import PathTable
from odx_target.replica.paths.settings import Right
from odx_target.replica.remote_tokens.limits import (
    LEASE_TIMEOUT_S,
    MAX_ALL_READ_AHEAD_BYTES,
    MAX_PATH_PULLS,
    MAX_READ_AHEAD_BYTES,
    MAX_UNUSED_TOKENS,
    MIN_READ_AHEAD_BYTES,
    PATH_WAIT_S,
    UNUSED_TOKEN_S,
)
from odx_target.replica.remote_tokens.remote_rod import RemoteRod, refusal_of
from odx_target.replica.remote_tokens.remote_token import PathDown, RemoteToken
from odx_target.replica.remote_tokens.unit_tokens import UnitQuestions
from odx_target.scsi.sense import REMOTE_TOKEN_USAGE_NOT_SUPPORTED
from odx_target.store.api import BLOCK_BYTES

_KEY_BYTES = 16


class Redeemer:
    """The tokens of other arrays that hosts of this array use. It is a `RemoteTokens`.

    `environment` has the time of the links. Call `watch` in the background while the array runs.
    """

    def __init__(
        self,
        copies: Copies,
        paths: PathTable,
        hints: HintTables,
        environment: Environment,
        on_internal_error: Callable[[Exception], None],
    ) -> None:
        self.logical_bytes: Counter[str] = Counter()
        """Bytes that hosts have copied with tokens of other arrays, by the name of the path."""
        self._copies = copies
        self._paths = paths
        self._hints = hints
        self._environment = environment
        self._on_internal_error = on_internal_error
        self._tokens: dict[bytes, RemoteToken] = {}
        self._link_bytes: Counter[str] = Counter()

    @property
    def are_accepted(self) -> bool:
        return any(_may_redeem(path) for path in self._paths.values())

    def accepts(self, maker: bytes) -> bool:
        path = self._paths.to_maker(maker)
        return path is not None and _may_redeem(path)

    def link_bytes(self, path_name: str) -> int:
        """Return the size of all frames with data of tokens on a path, in both directions."""
        present = (each for each in self._tokens.values() if each.path.settings.name == path_name)
        return self._link_bytes[path_name] + sum(each.link_bytes_now for each in present)

    @property
    def open_tokens(self) -> int:
        """Number of tokens that are open at their makers."""
        return len(self._tokens)

    async def make(self, blocks: UnitBlocks) -> bytes:
        return await self._questions(Right.REDEEM_TOKENS).make_token(blocks._replace(until_s=blocks.until_s + self._shift_s))

    async def write(self, write: RemoteWrite) -> Written:
        return await self._questions(Right.SERVE_TOKENS).write(write._replace(until_s=write.until_s + self._shift_s))

    def _questions(self, right: Right) -> UnitQuestions:
        """Return the questions to the arrays to which the paths give a right."""
        paths = [path for path in self._paths.values() if right in path.settings.rights]
        return UnitQuestions(paths, self._environment, self._copies.unreachable)

    @property
    def _shift_s(self) -> float:
        """Difference of the time of the link from the time of the array, which a tester may have advanced."""
        return self._environment.monotonic() - self._copies.environment.monotonic()

    async def open(self, request: RemoteRequest) -> "Use":
        path = self._paths.to_maker(request.maker)
        if path is None or not _may_redeem(path):
            raise self._copies.judge.refusal(REMOTE_TOKEN_USAGE_NOT_SUPPORTED)
        request = self._in_time_of_link(request)
        try:
            token = await self._token(request, path)
        except PathDown as error:
            raise self._copies.unreachable(str(error)) from error
        token.uses += 1
        token.ahead_bytes = 0
        is_open = False
        try:
            await token.open(request.initiator_name, request.destination, request.open_until_s)
            is_open = True
        except PathDown as error:
            raise self._copies.unreachable(str(error)) from error
        except RequestDenied as denied:
            raise refusal_of(self._copies, denied) from denied
        finally:
            if not is_open:
                self.ended(token)
        return Use(self, token, request, self._copies)

    async def watch(self) -> None:
        """Close the tokens that no command uses any more. Runs until the array stops."""
        while True:
            await self._environment.sleep(PATH_WAIT_S)
            now_s = self._environment.monotonic()
            for token in self._unused():
                if now_s - token.used_at_s >= UNUSED_TOKEN_S:
                    self._close(token)

    def read_ahead(self, token: RemoteToken, done_bytes: int, copied_bytes: int) -> None:
        """Request the data from byte `done_bytes` of a token on, after a command has copied `copied_bytes` before it."""
        staged = token.staged
        if staged is None or token.is_closing:
            return
        size_bytes = min(
            max(copied_bytes, MIN_READ_AHEAD_BYTES),
            MAX_READ_AHEAD_BYTES,
            staged.size_bytes - done_bytes,
            MAX_ALL_READ_AHEAD_BYTES - sum(each.ahead_bytes for each in self._tokens.values()),
        )
        if size_bytes > 0:
            token.ahead_bytes = size_bytes
            token.advance(done_bytes // BLOCK_BYTES, -(-(done_bytes + size_bytes) // BLOCK_BYTES))

    def note_copied(self, token: RemoteToken, size_bytes: int) -> None:
        """Count bytes that a command has copied with a token."""
        self.logical_bytes[token.path.settings.name] += size_bytes

    def ended(self, token: RemoteToken) -> None:
        """Note that a command does not use a token any more."""
        token.uses -= 1
        token.used_at_s = self._environment.monotonic()
        if not token.uses and token.is_single_use:
            self._close(token)
        unused = self._unused()
        if len(unused) > MAX_UNUSED_TOKENS:
            self._close(min(unused, key=lambda each: each.used_at_s))

    def delete_later(self, token: RemoteToken) -> None:
        """Delete a token in the background, because its maker has not answered in the time of a command."""
        token.uses += 1
        token.is_deleting = True
        self._environment.start_soon(self._delete, token)

    async def _token(self, request: RemoteRequest, path: Path) -> RemoteToken:
        """Return the token of a command. If it is being closed or deleted, wait for this. Raises PathDown."""
        key, is_single_use = request.token, False
        if decode_head(request.token).rod_type == RodType.ACCESS_UPON_REFERENCE:
            # The data of such a token changes between commands, so each command gets its own.
            key, is_single_use = key + self._environment.entropy(_KEY_BYTES), True
        while (token := self._tokens.get(key)) is not None:
            if token.path is not path and not token.uses:
                self._close(token)
            if not token.is_closing and not token.is_deleting:
                return token
            if self._environment.monotonic() >= request.open_until_s:
                raise PathDown("the last use of the token has not ended yet")
            await token.wait()
        token = self._tokens[key] = RemoteToken(
            request.token,
            path,
            self._copies.pool,
            self._hints.of(path.settings.secret),
            self._environment,
            lambda: self._pulls_on(path) < MAX_PATH_PULLS,
            self._on_internal_error,
            key=key,
            is_single_use=is_single_use,
        )
        return token

    def _in_time_of_link(self, request: RemoteRequest) -> RemoteRequest:
        """Return a request whose times are those of the link."""
        shift_s = self._shift_s
        until_s = None if request.data_until_s is None else request.data_until_s + shift_s
        return request._replace(open_until_s=request.open_until_s + shift_s, data_until_s=until_s)

    def _unused(self) -> list[RemoteToken]:
        return [each for each in self._tokens.values() if not each.uses and not each.is_closing]

    def _pulls_on(self, path: Path) -> int:
        return sum(len(each.pulls) for each in self._tokens.values() if each.path is path)

    def _close(self, token: RemoteToken) -> None:
        if not token.is_closing:
            token.is_closing = True
            self._environment.start_soon(self._closed, token)

    async def _closed(self, token: RemoteToken) -> None:
        try:
            await token.close()
        except Exception as error:
            self._on_internal_error(error)
        finally:
            self._link_bytes[token.path.settings.name] += token.link_bytes_now
            del self._tokens[token.key]
            token.notify()

    async def _delete(self, token: RemoteToken) -> None:
        until_s = self._environment.monotonic() + LEASE_TIMEOUT_S
        try:
            while self._environment.monotonic() < until_s:
                try:
                    await token.delete(until_s)
                except PathDown:
                    continue
                except RequestDenied:
                    return  # The token has ended already.
                else:
                    return
        except Exception as error:
            self._on_internal_error(error)
        finally:
            token.is_deleting = False
            self.ended(token)
            token.notify()


class Use:
    """The use of a token by one command. It is a `RemoteUse`."""

    def __init__(self, redeemer: Redeemer, token: RemoteToken, request: RemoteRequest, copies: Copies) -> None:
        assert token.staged is not None, "the maker has accepted the token"
        self.rod = RemoteRod(token, token.staged, request, copies)
        self._redeemer = redeemer
        self._token = token
        self._request = request
        self._has_ended = False

    async def delete(self) -> None:
        token, until_s = self._token, self._request.data_until_s
        if until_s is None:
            until_s = token.now_s() + PATH_WAIT_S
        token.is_deleting, is_later = True, False
        try:
            await token.delete(until_s)
        except PathDown:
            self._redeemer.delete_later(token)
            is_later = True
        except RequestDenied:
            pass  # The token has ended already.
        finally:
            token.is_deleting = is_later

    def end(self, copied_bytes: int) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self.rod.release()
        if copied_bytes:
            self._redeemer.note_copied(self._token, copied_bytes)
            self._redeemer.read_ahead(self._token, self._request.offset_bytes + copied_bytes, copied_bytes)
        self._redeemer.ended(self._token)


def _may_redeem(path: Path) -> bool:
    return Right.REDEEM_TOKENS in path.settings.rights
