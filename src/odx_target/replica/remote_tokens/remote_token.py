"""A token of another array: the lease at its maker, and the data that has arrived.

The maker judges the token again for each command. The data that has arrived stays valid between commands, because the data of a
token does not change. It is requested again only if the token has no data of its own (type "access upon reference").

Commands of hosts wait here for the blocks that they need. If no request for these blocks is under way, one is sent. So a
request that was cut is continued where it was cut, over the next link.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress

from odx_target.copymgr.tokens.rod_types import RodType
from odx_target.environment import Environment, Event
from odx_target.replica.blocks.hints import Hints
from odx_target.replica.blocks.requests import BUSY
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import LinkError, PeerFault
from odx_target.replica.paths.exchange import RequestDenied
from odx_target.replica.paths.link import Link
from odx_target.replica.paths.path import Path
from odx_target.replica.remote_tokens.limits import (
    CHECK_INTERVAL_S,
    MAX_PULL_BLOCKS,
    MAX_PULLS,
    PATH_WAIT_S,
    PIPELINE_BLOCKS,
    RETRY_S,
)
from odx_target.replica.remote_tokens.messages import CLOSE_REQUEST, LEASE_ENDED, OpenedToken, open_request, read_opened
from odx_target.replica.remote_tokens.pull import Pull
from odx_target.replica.remote_tokens.question import Question
from odx_target.replica.remote_tokens.staging import StagedData
from odx_target.store.api import Pool, StoreError


class PathDown(Exception):
    """The maker of a token does not answer in time. The message is one line."""


class RemoteToken:
    """A token whose maker is at the other end of `path`. `may_pull` is False if too many requests are under way on the path."""

    def __init__(
        self,
        data: bytes,
        path: Path,
        pool: Pool,
        hints: Hints,
        environment: Environment,
        may_pull: Callable[[], bool],
        on_internal_error: Callable[[Exception], None],
        *,
        key: bytes,
        is_single_use: bool,
    ) -> None:
        self.data = data
        self.key = key
        """Key of the token in the table of its owner."""
        self.is_single_use = is_single_use
        """True if each command asks for the data again."""
        self.path = path
        self.staged: StagedData | None = None
        """None until the maker has accepted the token for the first time."""
        self.uses = 0
        """Number of commands that use the token now."""
        self.used_at_s = environment.monotonic()
        self.ahead_bytes = 0
        """Number of bytes that were requested without a command that needs them."""
        self.pulls: list[Pull] = []
        self.link_bytes = 0
        """Size of the frames of all ended requests for data."""
        self.is_closing = False
        """True if no further command may use this object."""
        self.is_deleting = False
        """True while the maker deletes the token. A further command waits, and then learns that the token is deleted."""
        self._pool = pool
        self._hints = hints
        self._environment = environment
        self._may_pull = may_pull
        self._on_internal_error = on_internal_error
        self._lease: bytes | None = None
        self._denied: RequestDenied | None = None
        self._retry_at_s = 0.0
        self._failure: StoreError | None = None
        self._busy = ""
        """Why the maker was busy at the last request; empty if it was not."""
        self._waiting: list[Event] = []
        self._is_ticking = False
        self._opener = ("", b"")

    @property
    def link_bytes_now(self) -> int:
        """Size of the frames of all requests for data so far."""
        return self.link_bytes + sum(pull.link_bytes for pull in self.pulls)

    async def open(self, initiator_name: str, destination: bytes, until_s: float) -> None:
        """Ask the maker for a judgement and a lease. Raises RequestDenied if it refuses, and PathDown if it does not answer."""
        self._opener = initiator_name, destination
        document = open_request(self.data, initiator_name, destination)
        opened = _opened(await self._ask(document, until_s))
        if self.staged is None:
            self.staged = StagedData(self._pool, self._environment, opened.size_bytes)
        if self.staged.size_bytes != opened.size_bytes:
            raise PathDown("the array that made the token says that the token has another size than before")
        self._lease, self._denied = opened.lease, None

    async def wait_for(self, block: int, end: int, until_s: float) -> None:
        """Wait for a block, and request the blocks from it to `end` - 1 if necessary. Returns when the block has arrived, or
        when the caller should look if it still needs the block.

        Raises PathDown if the time is up, RequestDenied if the maker gives no more data, and StoreError if the data cannot be
        stored here.
        """
        staged = self.staged
        assert staged is not None, "the maker has accepted the token"
        if staged.end_of_arrived(block) > block:
            return
        if self._denied is not None:
            raise self._denied
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        if self._environment.monotonic() >= until_s:
            raise PathDown(self._reason())
        if self._lease is None:
            await self._open_again(until_s)
        self.advance(block, end)
        await self.wait()

    async def delete(self, until_s: float) -> None:
        """Delete the token at its maker. Raises RequestDenied and PathDown."""
        await self._end_lease(until_s, delete=True)

    async def close(self) -> None:
        """Stop all requests, end the lease if the path is open, and delete the data. The owner has set `is_closing` before."""
        await self._drop_staged()
        with suppress(RequestDenied, PathDown):  # The maker then ends the lease by itself.
            await self._end_lease(self.now_s() + PATH_WAIT_S, delete=False)

    def now_s(self) -> float:
        """Return the time of the link."""
        return self._environment.monotonic()

    def notify(self) -> None:
        """Wake all waiting commands."""
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()

    async def wait(self) -> None:
        """Wait until something has changed, or until a command should look at the time."""
        event = self._environment.event()
        self._waiting.append(event)
        if not self._is_ticking:
            self._is_ticking = True
            self._environment.start_soon(self._tick)
        await event.wait()

    async def _tick(self) -> None:
        await self._environment.sleep(CHECK_INTERVAL_S)
        self._is_ticking = False
        self.notify()

    async def _ask(self, document: Mapping[str, Json], until_s: float) -> Mapping[str, Json]:
        """Send a request about the token, again if the link is lost or the maker is busy. Returns the answer.

        Raises RequestDenied and PathDown. A path that is down is waited for only `PATH_WAIT_S`.
        """
        environment = self._environment
        down_until_s = min(until_s, environment.monotonic() + PATH_WAIT_S)
        question: Question | None = None
        while True:
            now_s = environment.monotonic()
            if question is not None and question.is_done:
                if question.answer is not None:
                    self._busy = ""
                    return question.answer
                if isinstance(question.failure, RequestDenied) and not self._note_busy(question.failure):
                    raise question.failure
                question = None
            link = self.path.link
            if now_s >= (until_s if link is not None else down_until_s):
                raise PathDown(self._reason())
            if question is None and link is not None and now_s >= self._retry_at_s:
                question = Question()
                environment.start_soon(self._send, question, link, document)
            await self.wait()

    async def _send(self, question: Question, link: Link, document: Mapping[str, Json]) -> None:
        await question.ask(link, document)
        if question.failure is not None:
            self._retry_at_s = self._environment.monotonic() + RETRY_S
        self.notify()

    async def _open_again(self, until_s: float) -> None:
        """Ask for a new lease, because the maker has restarted or has ended the lease. Raises RequestDenied and PathDown."""
        document = open_request(self.data, *self._opener)
        opened = _opened(await self._ask(document, until_s))
        changes = opened.rod_type == RodType.ACCESS_UPON_REFERENCE
        if self.staged is not None and (changes or self.staged.size_bytes != opened.size_bytes):
            raise RequestDenied(LEASE_ENDED, "the data of the token may have changed")
        self._lease = opened.lease

    async def _end_lease(self, until_s: float, *, delete: bool) -> None:
        lease = self._lease
        if lease is None and not delete:
            return
        if lease is None:
            await self._open_again(until_s)
            lease = self._lease
        assert lease is not None
        await self._ask({"request": CLOSE_REQUEST, "lease": lease.hex(), "delete": int(delete)}, until_s)
        self._lease = None

    async def _drop_staged(self) -> None:
        """Delete the data that has arrived, after all requests for it have ended."""
        while self.pulls:
            for pull in self.pulls:
                pull.stop()
            await self.wait()
        staged, self.staged = self.staged, None
        if staged is not None:
            await staged.delete()

    def advance(self, block: int, end: int) -> None:
        """Send requests so that `block` arrives, and soon also the blocks up to `end` - 1."""
        staged, link = self.staged, self.path.link
        if staged is None or link is None or self._lease is None or self.is_closing:
            return
        at = block
        while at < end and self._environment.monotonic() >= self._retry_at_s:
            at = staged.end_of_arrived(at)
            pull = next((each for each in self.pulls if each.next <= at < each.end), None)
            if pull is not None:
                if pull.end - pull.next > PIPELINE_BLOCKS:
                    return
                at = pull.end
            elif at < end:
                if len(self.pulls) >= (MAX_PULLS if staged.has_volume else 1) or not self._may_pull():
                    return
                limit = min([end, at + MAX_PULL_BLOCKS, *(each.next for each in self.pulls if each.next > at)])
                new = Pull(self.path, link, self._lease, at, staged.next_arrived(at, limit), self.notify)
                self.pulls.append(new)
                self._environment.start_soon(self._pull, new, staged)
                at = new.end

    async def _pull(self, pull: Pull, staged: StagedData) -> None:
        """Carry a request for data to its end, in the background."""
        environment = self._environment
        try:
            volume = await staged.volume()
            await pull.run(self._pool, staged, volume, self._hints, environment)
        except RequestDenied as denied:
            self._pull_denied(denied)
        except LinkError:
            pass
        except StoreError as error:
            self._failure = error
        except Exception as error:
            self._on_internal_error(error)
        finally:
            if pull.next < pull.end:
                self._retry_at_s = environment.monotonic() + RETRY_S
            self.pulls.remove(pull)
            self.link_bytes += pull.link_bytes
            self.notify()

    def _pull_denied(self, denied: RequestDenied) -> None:
        if denied.code == LEASE_ENDED:
            self._lease = None
        elif not self._note_busy(denied):
            self._denied = denied

    def _note_busy(self, denied: RequestDenied) -> bool:
        """Return True if the maker is only busy, so that it may accept the next request."""
        is_busy = denied.code == BUSY
        if is_busy:
            self._busy = str(denied)
        return is_busy

    def _reason(self) -> str:
        name = self.path.settings.name
        if self.path.link is None:
            return f"the path {name} is down"
        return f"the array behind the path {name} is " + (f"busy: {self._busy}" if self._busy else "slow")


def _opened(answer: Mapping[str, Json]) -> OpenedToken:
    try:
        return read_opened(answer)
    except PeerFault as fault:
        raise PathDown(str(fault)) from None
