"""Tests of making and opening pools in a directory, and of the cases that are refused."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sim.virtual_environment import VirtualEnvironment
from tests.store.pools import Directory, block, blocks, read, write

from odx_target.store.api import BLOCK_BYTES, DamagedBlock, PoolDamaged, PoolInUse, StoreError
from odx_target.store.open import LogPool, PoolOptions, open_directory_pool
from odx_target.store.opening.directory_pool import DirectoryHead
from odx_target.store.opening.format_head import MemoryHead

SIZE = 500


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The directory of a closed pool."""
    directory = Directory(tmp_path / "pool")
    volume = directory.pool.create_volume("a", SIZE, {})
    for at in range(100):
        write(directory, volume, at, [block(at + 1)])
        directory.pool.commit()
    directory.close()
    return directory.path


def open_pool(path: Path, options: PoolOptions | None = None) -> LogPool:
    environment = VirtualEnvironment()
    return environment.run(open_directory_pool(path, environment, options))


@pytest.mark.parametrize("segment_blocks", [32, 16384])
@pytest.mark.parametrize("how", ["close", "kill"])
def test_a_pool_is_found_again(tmp_path: Path, segment_blocks: int, how: str) -> None:
    directory = Directory(tmp_path / "deep" / "pool", PoolOptions(segment_blocks=segment_blocks))
    volume = directory.pool.create_volume("a", 10_000, {"lun": "7"})
    write(directory, volume, 5, [blocks(*range(5000))])
    frozen = volume.freeze(durable=True)
    write(directory, volume, 5, [block(9999)])
    directory.pool.remember("key", b"value")
    directory.pool.commit()
    identity = directory.pool.identity
    getattr(directory, how)()
    pool = directory.open()
    assert pool.identity == identity
    assert read(directory, pool.volumes["a"], 5, 5000) == blocks(9999, *range(1, 5000))
    assert read(directory, pool.frozen_maps[frozen.identifier], 5, 5000) == blocks(*range(5000))
    assert pool.remembered("key") == b"value"
    assert pool.volumes["a"].attributes == {"lun": "7"}
    directory.close()


def test_an_empty_directory_becomes_a_pool(tmp_path: Path) -> None:
    assert Directory(tmp_path).pool.volumes == {}


def test_a_closed_pool_takes_no_room_ahead(path: Path) -> None:
    used = sum(each.stat().st_size for each in (path / "segments").iterdir())
    assert used <= 2.2 * 100 * BLOCK_BYTES, "a write of one block costs two"


@pytest.mark.parametrize("name", ["notes.txt", ".hidden"])
def test_a_directory_of_something_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(StoreError, match="not empty and not a pool"):
        open_pool(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == [name], "nothing was made there"


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match="not a directory"):
            open_pool(place)


@pytest.mark.parametrize("left", [["lock"], ["lock", "segments/"], ["lock", "segments/", "pool.json.new"]])
def test_a_pool_whose_making_was_cut_off_is_made_again(tmp_path: Path, left: list[str]) -> None:
    for name in left:
        if name.endswith("/"):
            (tmp_path / name).mkdir()
        else:
            (tmp_path / name).write_bytes(b"")
    assert Directory(tmp_path).pool.volumes == {}


def test_a_pool_is_opened_once(path: Path) -> None:
    pool = Directory(path)
    with pytest.raises(PoolInUse, match="in use by another process"):
        open_pool(path)
    pool.close()
    Directory(path).close()


def test_a_second_process_is_refused(path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from tests.store.test_directory_pool import open_pool\n"
        "from odx_target.store.api import PoolInUse\n"
        "try: open_pool(Path(sys.argv[1]))\n"
        "except PoolInUse as error: print(error)\n"
        "else: print('opened')\n"
    )
    root = Path(__file__).parents[2]

    def run() -> str:
        arguments = [sys.executable, "-c", program, str(path), str(root)]
        return subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60).stdout

    pool = Directory(path)
    assert "in use by another process" in run()
    pool.close()
    assert run() == "opened\n"


def change_head(path: Path, **fields: object) -> None:
    head = path / "pool.json"
    head.write_text(json.dumps(json.loads(head.read_text()) | fields))


@pytest.mark.parametrize("version", [4, 5, 1 << 70])
def test_a_newer_format_is_refused_in_one_clear_line(path: Path, version: int) -> None:
    change_head(path, format=version, invented_later=[1, 2, 3])
    with pytest.raises(PoolDamaged, match=rf"was made by a newer version: format {version}, this program knows 2 and 3"):
        open_pool(path)


@pytest.mark.parametrize(
    "fields",
    [
        {"format": 0},
        {"format": "2"},
        {"format": True},
        {"format": None},
        {"epoch": 0},
        {"epoch": "1"},
        {"epoch": True},
        {"epoch": None},
        {"identity": "00"},
        {"identity": "not hexadecimal"},
        {"identity": 5},
        {"what": "another program's pool"},
    ],
)
def test_a_head_that_says_nonsense_is_refused(path: Path, fields: dict[str, object]) -> None:
    change_head(path, **fields)
    with pytest.raises(PoolDamaged, match=r"pool\.json is damaged"):
        open_pool(path)


@pytest.mark.parametrize("document", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b"1e999"])
def test_garbage_for_a_head_is_refused(path: Path, document: bytes) -> None:
    (path / "pool.json").write_bytes(document)
    with pytest.raises(PoolDamaged, match=r"pool\.json is damaged"):
        open_pool(path)


def test_a_missing_head_is_refused(path: Path) -> None:
    (path / "pool.json").unlink()
    with pytest.raises(PoolDamaged, match=r"pool\.json is missing"):
        open_pool(path)


def test_a_missing_directory_of_segments_is_refused(path: Path) -> None:
    (path / "segments").rename(path.parent / "elsewhere")
    with pytest.raises(PoolDamaged, match="segments is missing"):
        open_pool(path)


def test_a_missing_segment_is_named(path: Path) -> None:
    gone = sorted((path / "segments").iterdir())[1]
    gone.unlink()
    with pytest.raises(PoolDamaged, match=f"{gone.name} is missing"):
        open_pool(path)


def test_a_truncated_segment_is_named(path: Path) -> None:
    short = sorted((path / "segments").iterdir())[1]
    short.write_bytes(short.read_bytes()[:-1])
    with pytest.raises(PoolDamaged, match=f"{short.name} is cut off"):
        open_pool(path)


def test_garbage_for_a_catalogue_is_refused(path: Path) -> None:
    (path / "catalogue.sqlite").write_bytes(b"garbage" * 10_000)
    with pytest.raises(PoolDamaged, match="catalogue is damaged"):
        open_pool(path)


def test_a_refused_pool_is_not_held(path: Path) -> None:
    change_head(path, format=4)
    for _ in range(3):
        with pytest.raises(PoolDamaged, match="newer"):
            open_pool(path)
    change_head(path, format=2)
    Directory(path).close()


def test_an_older_format_is_refused(path: Path) -> None:
    change_head(path, format=1)
    with pytest.raises(PoolDamaged, match=r"pool\.json was made by an older version: format 1, this program knows 2 and 3"):
        open_pool(path)


def epoch_of(path: Path) -> int:
    return int(json.loads((path / "pool.json").read_text())["epoch"])


def test_each_opening_raises_the_epoch(path: Path) -> None:
    before = epoch_of(path)
    for opening in (1, 2):
        Directory(path).close()
        assert epoch_of(path) == before + opening


def test_a_pool_on_a_full_disk_keeps_its_epoch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_head: DirectoryHead, _expected: bytes | None, _document: bytes) -> None:
        raise OSError(errno.ENOSPC, "no room")

    before = epoch_of(path)
    monkeypatch.setattr(DirectoryHead, "replace", no_room)
    Directory(path).close()
    assert epoch_of(path) == before


def test_a_head_is_replaced_only_if_it_is_the_expected_one(tmp_path: Path) -> None:
    for head in (DirectoryHead(tmp_path), MemoryHead()):
        with pytest.raises(PoolInUse, match="was changed by another process"):
            head.replace(b"other", b"first")
        head.replace(None, b"first")
        with pytest.raises(PoolInUse):
            head.replace(None, b"second")
        head.replace(b"first", b"second")
        assert head.read() == b"second"


def test_a_flipped_bit_on_the_disk_is_a_damaged_block(path: Path) -> None:
    for segment in (path / "segments").iterdir():
        content = bytearray(segment.read_bytes())
        at = content.find(block(51))
        if at >= 0:
            content[at + 1000] ^= 16
            segment.write_bytes(content)
    directory = Directory(path)
    volume = directory.pool.volumes["a"]
    with pytest.raises(DamagedBlock) as caught:
        directory.environment.run(volume.read(0, 100))
    assert caught.value.block == 50
    with pytest.raises(DamagedBlock):
        volume.read_now(50, 1)
    assert read(directory, volume, 51, 49) == blocks(*range(52, 101))
    directory.close()


def test_a_directory_that_may_not_be_written_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "pool"))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StoreError, match=r"the pool cannot be opened: Permission denied \(.*pool\)"):
        open_pool(tmp_path / "pool")


def test_only_its_owner_can_read_what_is_secret_in_a_pool(tmp_path: Path) -> None:
    former = os.umask(0o022)
    try:
        directory = Directory(tmp_path / "pool")
        directory.pool.remember("secret", b"of tokens")
        directory.environment.run(directory.pool.checkpoint())
        files = [path for path in directory.path.rglob("*") if path.is_file()]
        assert "catalogue.sqlite" in {path.name for path in files}
        assert [path.name for path in files if "catalogue" in path.name and path.stat().st_mode & 0o077] == []
        directory.close()
        catalogue = directory.path / "catalogue.sqlite"
        catalogue.chmod(0o644)
        directory.open()
        assert catalogue.stat().st_mode & 0o777 == 0o600
        directory.close()
    finally:
        os.umask(former)
