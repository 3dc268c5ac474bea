"""The interface to the tokens of other arrays. `replica.remote_tokens` implements it."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from odx_target.copymgr.tokens.rod_source import RodSource


class RemoteRequest(NamedTuple):
    """A command that uses a token of another array.

    It needs `size_bytes` bytes of the ROD from `offset_bytes` on. `destination` is the identity of its logical unit. Times are
    monotonic. The token must be opened before `open_until_s`. If `data_until_s` is not None, the command waits no longer for
    data. Otherwise it waits as long as the path to the maker may come back.
    """

    token: bytes
    maker: bytes
    initiator_name: str
    destination: bytes
    offset_bytes: int
    size_bytes: int
    open_until_s: float
    data_until_s: float | None


class UnitBlocks(NamedTuple):
    """A range of bytes of a logical unit of another array, which an EXTENDED COPY reads.

    `identity` is the NAA designator of the logical unit, and `block_bytes` is its logical block length as the command says it.
    The array must answer before `until_s`, which is monotonic.
    """

    identity: bytes
    initiator_name: str
    block_bytes: int
    offset_bytes: int
    size_bytes: int
    until_s: float


class RemoteWrite(NamedTuple):
    """Blocks of a logical unit of another array, which an EXTENDED COPY writes by a token of this array.

    `identity` is the NAA designator of the logical unit, and `block_bytes` is its logical block length as the command says it.
    The first block is block `offset_blocks` of the token's data. The array must answer before `until_s`, which is monotonic. If
    `is_over` returns True, the command has ended, and the array must write no more.
    """

    token: bytes
    identity: bytes
    initiator_name: str
    block_bytes: int
    lba: int
    count_blocks: int
    offset_blocks: int
    until_s: float
    is_over: Callable[[], bool]


class Written(NamedTuple):
    """The reply of the other array. It has written `blocks`. If `is_partial`, only its time was up."""

    blocks: int
    status: int
    is_partial: bool
    sense: bytes


class RemoteUse(Protocol):
    """The use of a token by one command, which the maker of the token has accepted."""

    @property
    def rod(self) -> RodSource:
        """The data of the token, as far as it has arrived. Its calls that wait may raise SourceCut."""
        ...

    async def delete(self) -> None:
        """Delete the token at its maker (DEL_TKN).

        Waits for the maker, but no longer than the command may wait. If the maker does not answer in this time, the token is
        deleted as soon as the maker can be reached.
        """
        ...

    def end(self, copied_bytes: int) -> None:
        """Note that the command has ended, and how much it has copied. A second call does nothing."""
        ...


class RemoteTokens(Protocol):
    """The tokens that other arrays have made and that hosts of this array may use."""

    @property
    def are_accepted(self) -> bool:
        """True if there is any array whose tokens hosts may use. VPD page 8Fh reports this."""
        ...

    def accepts(self, maker: bytes) -> bool:
        """True if hosts may use the tokens of a maker."""
        ...

    async def make(self, blocks: UnitBlocks) -> bytes:
        """Return a token of another array for blocks of one of its logical units. Raises Refusal if no array makes one."""
        ...

    async def write(self, write: RemoteWrite) -> Written:
        """Request another array to write blocks of one of its logical units. Raises Refusal if no array does it."""
        ...

    async def open(self, request: RemoteRequest) -> RemoteUse:
        """Ask the maker of a token if the command may use it. The caller must call `RemoteUse.end`.

        Raises Refusal if the maker refuses the token, or cannot be reached.
        """
        ...
