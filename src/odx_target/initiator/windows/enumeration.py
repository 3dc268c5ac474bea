"""Discovery and start of a disk: the commands in the order of Windows, and the evaluation of the answers.

The port driver sends REPORT LUNS, then INQUIRY for standard data and for the pages that identify the logical unit. The class
driver then reads the capacity, the pages with the capabilities, the mode pages, and the first two blocks.
"""

from collections.abc import Sequence

from odx_target.initiator.cdb import inquiry, read_capacity_10, read_capacity_16, report_luns, test_unit_ready
from odx_target.initiator.windows import cdb
from odx_target.initiator.windows.copying.capability import COPY_PAGE, Declined, read_capability, read_page_list
from odx_target.initiator.windows.disk import DiskUnusable, WindowsDisk
from odx_target.initiator.windows.rules import Rule
from odx_target.initiator.windows.session.port import Command
from odx_target.initiator.windows.settings import QerrOverride

SERIAL_PAGE, IDENTIFICATION_PAGE = 0x80, 0x83
BLOCK_LIMITS_PAGE, PROVISIONING_PAGE = 0xB0, 0xB2
MAX_TEN_BYTE_LBA = 0xFFFFFFFF
MIN_CAPACITY_16_BYTES = 16
MODE_RETRIES = 1
EUI_64, NAA = 2, 3
INVALID_FIELD_IN_CDB = (0x24, 0x00)
THIN = 2
PAGE_SAVEABLE, PAGE_CODE, WRITE_PROTECT = 0x80, 0x3F, 0x80
BLOCK_SIZES = (512, 4096)
MIN_PROVISIONING_BYTES = 8


async def report_all_luns(disk: WindowsDisk) -> list[int]:
    """Return the numbers of the single-level LUNs that REPORT LUNS reports. `disk` is LUN 0 of the target."""
    size_bytes = cdb.REPORT_LUNS_ALLOCATION_BYTES
    reply = (await disk.ask(report_luns(size_bytes), size_bytes)).data_in
    listed = min(int.from_bytes(reply[:4], "big"), len(reply) - 8)
    return [int.from_bytes(reply[at : at + 2], "big") & 0x3FFF for at in range(8, 8 + max(listed, 0), 8)]


async def start(disks: Sequence[WindowsDisk], lun_0: WindowsDisk | None = None) -> None:
    """Find and start disks of one target. REPORT LUNS is sent to `lun_0`, or to the first of `disks` if `lun_0` is None. The
    answer must list all `disks`. LUN 0 need not be a disk. Raises DiskUnusable.
    """
    luns = await report_all_luns(disks[0] if lun_0 is None else lun_0)
    for disk in disks:
        if disk.lun not in luns:
            raise DiskUnusable(disk.find(Rule.LUN_NOT_REPORTED, f"LUN {disk.lun}"))
        await start_one(disk)


async def start_one(disk: WindowsDisk) -> None:
    """Find and start a disk. Raises DiskUnusable."""
    await _identify(disk)
    await disk.ask(test_unit_ready())
    await _read_capacity(disk)
    is_thin = await _read_pages(disk)
    override = disk.host.settings.qerr_override
    has_reason = disk.capability is not None or is_thin or override is QerrOverride.ALWAYS
    if has_reason and override is not QerrOverride.NEVER:
        await _clear_qerr(disk)
    await _read_modes(disk)
    for lba in range(min(2, disk.capacity_blocks)):
        await disk.read(lba, 1)


async def _identify(disk: WindowsDisk) -> None:
    """Read standard INQUIRY data and the identity of the logical unit, as the port driver does when a disk starts."""
    size_bytes = cdb.INQUIRY_ALLOCATION_BYTES
    standard = (await disk.ask(inquiry(size_bytes), size_bytes)).data_in
    if len(standard) < 8 or standard[0] != 0:
        raise DiskUnusable(disk.find(Rule.NOT_A_DISK, standard[:1].hex() or "no data"))
    if not standard[7] & 0x02:
        disk.find(Rule.NO_COMMAND_QUEUEING)
    reply = await _read_page(disk, 0)
    listed = reply[4:]
    serial = await _read_page(disk, SERIAL_PAGE) if SERIAL_PAGE in listed else b""
    if not serial[4:].strip(b" \0"):
        disk.find(Rule.NO_SERIAL_NUMBER)
    page = await _read_page(disk, IDENTIFICATION_PAGE) if IDENTIFICATION_PAGE in listed else b""
    disk.identity = _identity(page)
    if not disk.identity:
        disk.find(Rule.NO_IDENTIFIER)


async def _read_page(disk: WindowsDisk, page: int) -> bytes:
    """Return at most the first 255 bytes of a page; b"" if the target does not return the page."""
    completion = await disk.ask(inquiry(cdb.VPD_ALLOCATION_BYTES, page), cdb.VPD_ALLOCATION_BYTES)
    reply = completion.data_in
    return reply if completion.reading.is_good and len(reply) >= 4 and reply[1] == page else b""


def _identity(page: bytes) -> bytes:
    """Return the NAA designator of the logical unit. If there is no NAA designator, return the EUI-64 designator (SPC-4
    7.8.6).
    """
    found: dict[int, bytes] = {}
    position = 4
    while position + 4 <= len(page):
        length, kind = page[position + 3], page[position + 1] & 0x0F
        if page[position + 1] >> 4 & 0x3 == 0:
            found.setdefault(kind, page[position + 4 : position + 4 + length])
        position += 4 + length
    return found.get(NAA) or found.get(EUI_64) or b""


async def _read_capacity(disk: WindowsDisk) -> None:
    reply = (await disk.ask(read_capacity_10(), 8)).data_in
    if len(reply) >= 8 and int.from_bytes(reply[:4], "big") == MAX_TEN_BYTE_LBA:
        disk.is_long = True
        short = (await disk.ask(read_capacity_16(cdb.SHORT_CAPACITY_BYTES), cdb.SHORT_CAPACITY_BYTES)).data_in
        reply = short if len(short) == cdb.SHORT_CAPACITY_BYTES else b""
    if len(reply) < 8:
        raise DiskUnusable(disk.find(Rule.NO_CAPACITY))
    disk.capacity_blocks = int.from_bytes(reply[:-4], "big") + 1
    disk.block_bytes = int.from_bytes(reply[-4:], "big")
    if disk.block_bytes not in BLOCK_SIZES:
        raise DiskUnusable(disk.find(Rule.NO_CAPACITY, f"blocks of {disk.block_bytes} bytes"))
    reply = (await disk.ask(read_capacity_16(cdb.LONG_CAPACITY_BYTES), cdb.LONG_CAPACITY_BYTES)).data_in
    if len(reply) < MIN_CAPACITY_16_BYTES:
        disk.find(Rule.SHORT_CAPACITY_16, f"{len(reply)} bytes")


async def _read_pages(disk: WindowsDisk) -> bool:
    """Read page 00h. Then read the pages B2h, B0h and 8Fh if page 00h lists them. Returns True if the disk is thin."""
    try:
        listed = read_page_list(await _read_page(disk, 0))
    except Declined as declined:
        disk.no_copy = disk.find(declined.rule, declined.detail)
        return False
    provisioning = await _read_page(disk, PROVISIONING_PAGE) if PROVISIONING_PAGE in listed else b""
    if len(provisioning) >= MIN_PROVISIONING_BYTES:
        disk.driver.threshold_set_bytes = disk.block_bytes << provisioning[4]
    if BLOCK_LIMITS_PAGE in listed:
        await _read_page(disk, BLOCK_LIMITS_PAGE)
    try:
        if COPY_PAGE not in listed:
            raise Declined(Rule.PAGE_NOT_LISTED)
        disk.capability = read_capability(await _read_page(disk, COPY_PAGE))
    except Declined as declined:
        disk.no_copy = disk.find(declined.rule, declined.detail)
    else:
        optimum, maximum = disk.capability.optimal_transfer_blocks, disk.capability.max_token_transfer_blocks
        disk.remark(
            f"limits: lifetime at most {disk.capability.max_inactivity_timeout_s} s,"
            f" default {disk.capability.default_inactivity_timeout_s} s, largest {maximum} blocks, optimal {optimum} blocks,"
            f" {disk.capability.max_range_descriptors} descriptors"
        )
        if 0 < maximum < optimum:
            disk.find(Rule.OPTIMUM_OVER_MAXIMUM, f"{optimum} blocks over {maximum}")
    return len(provisioning) >= MIN_PROVISIONING_BYTES and provisioning[5] & 0x80 != 0 and provisioning[6] & 0x7 == THIN


async def _clear_qerr(disk: WindowsDisk) -> None:
    reply = (await disk.ask(cdb.mode_sense_6(cdb.CONTROL_PAGE), cdb.MODE_ALLOCATION_BYTES, MODE_RETRIES)).data_in
    page = _mode_page(reply, cdb.CONTROL_PAGE)
    if len(page) < 4 or not page[3] & 0x06:
        return
    disk.find(Rule.QERR_NOT_ZERO)
    cleared = bytes([page[0] & PAGE_CODE, page[1], page[2], page[3] & ~0x06]) + page[4:]
    command = cdb.mode_select_6(4 + len(cleared), save=bool(page[0] & PAGE_SAVEABLE))
    await disk.driver.submit(Command(command, [bytes(4) + cleared]), MODE_RETRIES)


async def _read_modes(disk: WindowsDisk) -> None:
    async def ask(page: int) -> tuple[bytes, bool]:
        completion = await disk.ask(cdb.mode_sense_6(page), cdb.MODE_ALLOCATION_BYTES)
        sense = completion.reading.sense
        return completion.data_in, sense is not None and sense.code == INVALID_FIELD_IN_CDB

    caching = _mode_page((await ask(cdb.CACHING_PAGE))[0], cdb.CACHING_PAGE)
    disk.has_write_cache = len(caching) > 2 and bool(caching[2] & 0x04)
    await ask(cdb.FAILURE_PREDICTION_PAGE)
    header, refused = await ask(cdb.ALL_PAGES)
    if refused:
        header, _ = await ask(cdb.CACHING_PAGE)
    if len(header) > 2 and header[2] & WRITE_PROTECT:
        disk.find(Rule.WRITE_PROTECTED)


def _mode_page(reply: bytes, page: int) -> bytes:
    """Return a mode page from the data of MODE SENSE (6); b"" if the data does not have this page."""
    if len(reply) < 4:
        return b""
    body = reply[4 + reply[3] :]
    if len(body) < 2 or body[0] & PAGE_CODE != page:
        return b""
    return body[: 2 + body[1]]
