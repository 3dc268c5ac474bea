"""The renewal of the identity of a pool: what it changes, what it keeps, and when it is refused."""

import json
import shutil
from itertools import count
from pathlib import Path

import pytest
from tests.store.pools import Directory, block, read, write

from odx_target.store.errors import PoolDamaged, PoolInUse, StoreError
from odx_target.store.opening.directory_pool import CATALOGUE_NAME, HEAD_NAME
from odx_target.store.opening.format_head import Head, decode_head, encode_head, new_head
from odx_target.store.opening.renewal import renew_identity

IDENTITIES = (number.to_bytes(16, "big") for number in count(1))


def entropy(size_bytes: int) -> bytes:
    assert size_bytes == 16
    return next(IDENTITIES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed pool with the volume `a`, a snapshot of it, and a remembered value."""
    directory = Directory(tmp_path / "pool")
    volume = directory.pool.create_volume("a", 8, {})
    write(directory, volume, 0, [block(1)])
    volume.snapshot("s")
    directory.pool.remember("key", b"value")
    directory.pool.commit()
    directory.close()
    return directory.path


def names(path: Path) -> tuple[bytes, bytes, bytes]:
    """Open a pool. Return its identity, the public identity of its volume, and the identity of the volume."""
    directory = Directory(path)
    pool = directory.pool
    volume = pool.volumes["a"]
    assert read(directory, volume, 0, 1) == block(1)
    assert list(volume.snapshots) == ["s"]
    assert pool.remembered("key") == b"value"
    found = pool.identity, pool.public_identity(volume), volume.identity
    write(directory, volume, 1, [block(2)])
    directory.pool.commit()
    directory.close()
    return found


def test_a_new_pool_is_known_by_its_own_identities(path: Path) -> None:
    identity, public, own = names(path)
    head = decode_head((path / HEAD_NAME).read_bytes(), "head")
    assert identity == head.identity == head.array_identity == head.names_identity
    assert public == own


def test_a_renewal_changes_all_that_hosts_see_and_nothing_else(path: Path, tmp_path: Path) -> None:
    before = names(path)
    shutil.copytree(path, tmp_path / "copy")
    renewal = renew_identity(tmp_path / "copy", entropy, keep_volumes=False)
    after = names(tmp_path / "copy")
    assert (renewal.former, renewal.present) == (before[0], after[0])
    assert after[0] != before[0]
    assert after[1] != before[1]
    assert after[2] == before[2]
    assert names(tmp_path / "copy") == after
    assert names(path) == before
    renew_identity(tmp_path / "copy", entropy, keep_volumes=False)
    again = names(tmp_path / "copy")
    assert len({before[0], after[0], again[0]}) == len({before[1], after[1], again[1]}) == 3


def test_the_names_of_the_volumes_can_be_kept(path: Path) -> None:
    before = names(path)
    renew_identity(path, entropy, keep_volumes=True)
    kept = names(path)
    assert kept[0] != before[0]
    assert kept[1:] == before[1:]
    renew_identity(path, entropy, keep_volumes=False)
    renewed = names(path)
    renew_identity(path, entropy, keep_volumes=True)
    assert names(path)[1] == renewed[1]


def test_a_renewed_pool_can_be_rebuilt_from_its_log(path: Path) -> None:
    renew_identity(path, entropy, keep_volumes=False)
    before = names(path)
    (path / CATALOGUE_NAME).unlink()
    assert names(path) == before


def test_a_pool_that_is_open_is_left_alone(path: Path) -> None:
    directory = Directory(path)
    document = (path / HEAD_NAME).read_bytes()
    with pytest.raises(PoolInUse):
        renew_identity(path, entropy, keep_volumes=False)
    assert (path / HEAD_NAME).read_bytes() == document
    directory.close()


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"what": "odx-target pool", "format": 4}'])
def test_without_a_head_nothing_is_written(path: Path, content: bytes | None) -> None:
    (path / HEAD_NAME).unlink()
    if content is not None:
        (path / HEAD_NAME).write_bytes(content)
    with pytest.raises(StoreError if content is None else PoolDamaged):
        renew_identity(path, entropy, keep_volumes=False)
    assert ((path / HEAD_NAME).read_bytes() if content is not None else None) == content


def test_a_directory_that_is_absent_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no pool"):
        renew_identity(tmp_path / "absent", entropy, keep_volumes=False)
    assert not (tmp_path / "absent").exists()


def test_the_head_in_bytes() -> None:
    head = Head(2, b"i" * 16, 3, True, b"a" * 16, b"n" * 16)
    assert decode_head(encode_head(head), "head") == head
    fields = json.loads(encode_head(new_head(b"i" * 16)))
    del fields["array_identity"], fields["names_identity"]
    assert decode_head(json.dumps(fields).encode(), "head") == new_head(b"i" * 16)
    for key in ("identity", "array_identity", "names_identity"):
        for value in ("", "00", "x" * 32, 5, None):
            with pytest.raises(PoolDamaged):
                decode_head(json.dumps({**fields, key: value}).encode(), "head")


def test_public_identities_are_derived_as_documented() -> None:
    """The digest is that of `printf 'public identity:nnnnnnnnnnnnnnnnvvvvvvvvvvvvvvvv' | sha256sum`."""
    head = new_head(b"i" * 16)
    assert head.public_identity(b"v" * 16) == b"v" * 16
    renewed = head._replace(names_identity=b"n" * 16)
    assert renewed.public_identity(b"v" * 16).hex() == "67b02b5e251dd7907cc673fc695d446f"
