"""For each check that sends commands, a fault of a target that the check must find."""

from collections.abc import Callable, Iterator

from tests.conformance.mutations import (
    ABORT,
    INQUIRY,
    LISTED,
    PT,
    READ,
    RESET,
    RRTI,
    RTPG,
    STATUS,
    STPG,
    TOKEN,
    WRITE,
    WUT,
    XCOPY,
    XCOPY_LID4,
    Mutation,
    accepting,
    after_refusal,
    after_reset,
    block_by_block,
    called,
    data,
    flip,
    ignoring,
    ignoring_later,
    late_copy,
    only_first,
    other_sense,
    page,
    put,
    refusing,
    sent,
    shared_copy,
    shorter,
    slow,
    sorted_ranges,
    whole_physical_blocks,
)

Make = Callable[[], Mutation]
OUT, IN = 0x5F, 0x5E
RCOP, RCS1, RCFD = (0x84, 0x03), (0x84, 0x00), (0x84, 0x04)


def _features(old: bytes) -> bytes:
    return put(old.index(b"\x01\x06\x00") + 24, 0xFF)(old)


def _no_token_out(old: bytes) -> bytes:
    start = old.index(b"\x01\x08\x01") + 8
    new = bytearray(old)
    for at in range(start + 4, len(new), 64):
        new[at] &= 0xFE
    return bytes(new)


def _is_standard(cdb: bytes) -> bool:
    """True for INQUIRY without a vital product data page."""
    return not cdb[1] & 1


ROWS: list[tuple[str, Make]] = [
    # token copy: page 8Fh
    ("token.page.listed", lambda: page(0x00, lambda old: old.replace(b"\x8f", b"\x8e"))),
    ("token.page.3pc xcopy.parameters.3pc", lambda: data(INQUIRY, put(5, 0), lambda cdb: not cdb[1] & 1)),
    ("token.page.limits-first", lambda: page(0x8F, lambda old: put(5, 1)(old) if len(old) <= 255 else old)),
    ("token.page.lengths", lambda: page(0x8F, flip(3))),
    ("token.page.order", lambda: page(0x8F, lambda old: old.replace(b"\x80\x01\x00\x20", b"\x00\x00\x00\x20"))),
    ("token.page.timeouts", lambda: page(0x8F, put(20, 0xFF))),
    ("token.page.sizes", lambda: page(0x8F, put(32, 0xFF))),
    ("token.page.commands", lambda: page(0x8F, lambda old: old.replace(b"\x10\x11", b"\x12\x13"))),
    ("token.page.features", lambda: page(0x8F, _features)),
    ("token.page.types", lambda: page(0x8F, _no_token_out)),
    ("token.page.allocation", lambda: page(0x8F, lambda old: old[:15] + b"\xff" if len(old) == 16 else old)),
    # POPULATE TOKEN
    (
        "token.populate.too-many token.populate.beyond token.populate.lba-max token.populate.timeout token.populate.blocks"
        " token.populate.overlap token.populate.short-list token.populate.data-length token.populate.no-range"
        " token.populate.rod-type token.populate.zero-type",
        lambda: accepting(PT),
    ),
    ("token.populate.token", lambda: data(RRTI, put(4, 0))),
    ("token.populate.count token.populate.immed", lambda: data(RRTI, flip(23))),
    ("token.populate.id-0", lambda: refusing(PT, "5/24/00", lambda cdb, _: cdb[6:10] == bytes(4))),
    ("token.populate.id-max", lambda: refusing(PT, "5/24/00", lambda cdb, _: cdb[6] == 0xFF)),
    ("token.populate.type", lambda: data(RRTI, put(TOKEN + 1, 1))),
    ("token.populate.length", lambda: data(RRTI, flip(TOKEN + 7))),
    ("token.populate.creator", lambda: data(RRTI, flip(TOKEN + 27))),
    ("token.populate.size", lambda: data(RRTI, flip(TOKEN + 63))),
    ("token.populate.block", lambda: data(RRTI, flip(TOKEN + 99))),
    ("token.populate.unique", lambda: data(RRTI, put(TOKEN + 8, *bytes(8)))),
    ("token.populate.ranges", lambda: refusing(PT, "5/26/08", lambda _, data_out: len(data_out) > 48)),
    ("token.populate.last", lambda: refusing(PT, "5/21/00")),
    ("token.populate.timeout-max", lambda: refusing(PT, "5/26/00", lambda _, data_out: data_out[4:8] != bytes(4))),
    ("token.populate.no-list", lambda: refusing(PT, "5/1A/00", lambda cdb, _: cdb[10:14] == bytes(4))),
    ("token.populate.empty-range", lambda: refusing(PT, "5/26/00", lambda _, data_out: data_out[40:44] == bytes(4))),
    ("token.populate.partial", lambda: refusing(PT, "5/26/00", lambda _, data_out: bool(data_out[15] % 16))),
    ("token.populate.no-rtv", lambda: refusing(PT, "5/26/00", lambda _, data_out: data_out[8:12] != bytes(4))),
    # WRITE USING TOKEN
    (
        "token.write.same-lun token.write.other-lun token.write.back token.write.last token.write.zeros"
        " token.write.zeros-offset token.write.immed",
        lambda: ignoring(WUT),
    ),
    ("token.write.point-in-time token.life.vulnerable", lambda: late_copy),
    ("token.write.source", lambda: shared_copy),
    ("token.write.forward", lambda: block_by_block(1)),
    ("token.write.backward", lambda: block_by_block(-1)),
    ("token.write.offset token.write.in-parts", lambda: sent(WUT, put(8, *bytes(8)))),
    ("token.write.gather", lambda: sent(PT, sorted_ranges(16))),
    ("token.write.scatter", lambda: sent(WUT, sorted_ranges(536))),
    ("token.write.ranges", lambda: refusing(WUT, "5/26/08", lambda _, data_out: len(data_out) > 600)),
    ("token.write.unaligned", lambda: sent(WUT, whole_physical_blocks)),
    ("token.write.twice", lambda: sent(WUT, lambda old: put(2, old[2] | 2)(old))),
    ("token.write.partial", lambda: other_sense(WUT, flip(6))),
    ("token.write.empty-range", lambda: refusing(WUT, "5/26/00", lambda _, data_out: data_out[544:548] == bytes(4))),
    ("token.write.no-list", lambda: refusing(WUT, "5/1A/00", lambda _, data_out: not data_out)),
    (
        "token.write.beyond token.write.too-many token.write.overlap token.write.offset-max token.write.short-list"
        " token.write.data-length token.write.no-range token.invalid.secret token.invalid.middle token.invalid.size"
        " token.invalid.creator token.invalid.length token.invalid.type token.invalid.unknown token.invalid.public"
        " token.invalid.identifier token.invalid.foreign",
        lambda: accepting(WUT),
    ),
    ("token.write.information", lambda: other_sense(WUT, lambda old: b"\xf0" + put(6, 5)(old)[1:])),
    # the life of tokens
    ("token.life.deleted", lambda: sent(WUT, lambda old: put(2, old[2] & ~2)(old))),
    ("token.life.kept", lambda: after_refusal(WUT, "5/23/09")),
    ("token.life.expired", lambda: refusing(WUT, "4/44/00")),
    ("token.life.alive token.life.default token.event.path token.event.lost-path", lambda: refusing(WUT, "5/23/07")),
    ("token.life.use", lambda: only_first(WUT, "5/23/07", 2)),
    ("token.life.any-type", lambda: data(RRTI, put(TOKEN + 2, 0xFF, 0xFF))),
    ("token.list.zero", lambda: data(LISTED, lambda old: old + bytes.fromhex("ffff0001").ljust(96, b"\0"))),
    ("token.list.tokens", lambda: data(LISTED, lambda _: bytes.fromhex("0000000400000000"))),
    # results
    ("token.result.unknown token.result.initiators token.result.refusal token.event.lost-results", lambda: accepting(RRTI)),
    ("token.result.answer", lambda: data(RRTI, flip(35))),
    ("token.result.delay", lambda: data(RRTI, put(8, 0, 0, 0, 1))),
    ("token.result.write", lambda: data(RRTI, put(25, 1))),
    ("token.result.cut", lambda: only_first(RRTI, "5/24/00")),
    ("token.result.again", lambda: ignoring_later(PT)),
    ("token.result.status", lambda: data(STATUS, put(5, 2))),
    ("token.abort.nothing token.abort.finished", lambda: accepting(ABORT)),
    ("token.event.reset-results", lambda: ignoring(RESET)),
    ("token.event.reset-other", lambda: after_reset(RRTI, "5/24/00")),
    ("token.event.reset-tokens", lambda: after_reset(WUT, "5/23/04")),
    ("token.windows.4-seconds", lambda: slow(WUT, 4.1)),
    ("token.windows.copy", lambda: data(RRTI, put(5, 4))),
    # operations in the background
    ("token.progress.count", lambda: data(RRTI, flip(23))),
    ("token.progress.tokens", lambda: data(RRTI, lambda old: put(35, 2)(old) + bytes(514))),
    ("token.progress.identifier", lambda: accepting(PT)),
    ("token.progress.abort", lambda: ignoring(ABORT)),
    ("token.progress.reset", lambda: ignoring(RESET)),
    # EXTENDED COPY
    ("xcopy.parameters.length", lambda: data(RCOP, flip(3))),
    ("xcopy.parameters.counts", lambda: data(RCOP, put(8, 0, 1))),
    ("xcopy.parameters.types", lambda: data(RCOP, lambda old: old.replace(b"\xe4", b"\xe5"))),
    (
        "xcopy.copy.same-lun xcopy.copy.other-lun xcopy.copy.back xcopy.copy.destination xcopy.copy.segments xcopy.copy.order"
        " xcopy.copy.last xcopy.copy.bytes",
        lambda: ignoring(XCOPY),
    ),
    ("xcopy.copy.unaligned", lambda: sent(XCOPY, lambda old: put(75, old[75] & ~7)(old))),
    ("xcopy.copy.no-blocks", lambda: refusing(XCOPY, "A/26/00", lambda _, data_out: data_out[58:60] == bytes(2))),
    ("xcopy.copy.no-list", lambda: refusing(XCOPY, "5/1A/00", lambda _, data_out: not data_out)),
    ("xcopy.copy.no-segments", lambda: refusing(XCOPY, "5/1A/00", lambda _, data_out: len(data_out) == 48)),
    ("xcopy.copy.lid4", lambda: ignoring(XCOPY_LID4)),
    ("xcopy.result.lid4", lambda: data(STATUS, put(25, 7))),
    ("xcopy.result.status xcopy.result.failure", lambda: data(RCS1, put(4, 0))),
    ("xcopy.result.details", lambda: data(RCFD, flip(72))),
    ("xcopy.result.unknown", lambda: accepting(RCS1)),
    (
        "xcopy.refuse.header xcopy.refuse.cut xcopy.refuse.cscd-type xcopy.refuse.segment-type xcopy.refuse.index"
        " xcopy.refuse.designator xcopy.refuse.device-type xcopy.refuse.cscds xcopy.refuse.segments xcopy.refuse.source"
        " xcopy.refuse.destination xcopy.refuse.segment-length xcopy.refuse.inline xcopy.refuse.identifier xcopy.refuse.usage",
        lambda: accepting(XCOPY),
    ),
    ("xcopy.refuse.action", lambda: accepting((0x83, 0x1F))),
    # reservations
    ("reserve.key.register", lambda: data((IN, 0), put(7, 8))),
    ("reserve.key.unregister", lambda: ignoring_later((OUT, 0))),
    ("reserve.key.wrong reserve.hold.unregistered reserve.hold.second reserve.end.release-type", lambda: accepting(OUT)),
    ("reserve.key.ignore", lambda: ignoring((OUT, 6))),
    ("reserve.key.generation", lambda: data((IN, 0), put(0, *bytes(4)))),
    ("reserve.hold.report", lambda: data((IN, 1), flip(21))),
    ("reserve.hold.reset", lambda: after_reset((IN, 1), "5/24/00")),
    (
        "reserve.access.write-exclusive reserve.access.registrants-other",
        lambda: accepting(WRITE),
    ),
    ("reserve.access.exclusive reserve.access.exclusive-registered", lambda: accepting(READ)),
    ("reserve.access.registrants reserve.access.all-registrants", lambda: called((OUT, 1), put(2, 3))),
    ("reserve.access.always", lambda: refusing(0x25, "5/24/00")),
    ("reserve.access.write-token", lambda: accepting(WUT)),
    ("reserve.access.populate", lambda: accepting(PT)),
    ("reserve.end.release", lambda: ignoring((OUT, 2))),
    ("reserve.end.release-other", lambda: data((IN, 1), lambda old: old[:4] + bytes(4))),
    ("reserve.end.clear", lambda: ignoring((OUT, 3))),
    ("reserve.end.clear-attention reserve.end.preempt-attention", lambda: other_sense(0x00, put(13, 4))),
    ("reserve.end.preempt", lambda: ignoring((OUT, 4))),
    ("reserve.end.unregister", lambda: data((IN, 1), lambda old: (old[:4] + b"\0\0\0\x10").ljust(24, b"\x11"))),
    ("reserve.report.full", lambda: data((IN, 3), lambda old: old.replace(b"iqn", b"eui"))),
    ("reserve.report.capabilities", lambda: data((IN, 2), put(1, 9))),
    ("reserve.report.all-ports", lambda: data((IN, 2), put(2, 0x19))),
    ("reserve.refuse.short-list reserve.refuse.type", lambda: accepting(OUT)),
    ("reserve.refuse.in-action", lambda: accepting(IN)),
    # primary commands
    ("primary.inquiry.disk", lambda: data(INQUIRY, put(0, 5), lambda cdb: cdb[4] == 255 and not cdb[1])),
    ("primary.inquiry.version", lambda: data(INQUIRY, put(2, 2), lambda cdb: not cdb[1])),
    ("primary.inquiry.length", lambda: data(INQUIRY, flip(4), lambda cdb: not cdb[1])),
    ("primary.inquiry.texts", lambda: data(INQUIRY, put(20, 0), lambda cdb: not cdb[1])),
    ("primary.inquiry.allocation", lambda: data(INQUIRY, lambda old: old + b"\0", lambda cdb: cdb[4] == 35)),
    ("primary.inquiry.no-evpd primary.inquiry.unknown", lambda: accepting(INQUIRY)),
    ("primary.inquiry.missing", lambda: data(INQUIRY, lambda old: b"\0" + old[1:], lambda cdb: cdb[4] == 96)),
    ("primary.page.supported", lambda: page(0x00, lambda old: old[:5] + bytes(reversed(old[5:])))),
    ("primary.page.every", lambda: page(0xB2, put(1, 0xB3))),
    ("primary.page.designator", lambda: page(0x83, lambda old: b"\x00\x83\x00\x08\x02\x01\x00\x04odxt")),
    ("primary.page.serial", lambda: page(0x80, put(5, 0))),
    ("primary.page.block-limits", lambda: page(0xB0, put(3, 0x10))),
    ("primary.page.characteristics", lambda: page(0xB1, put(3, 0x40))),
    ("primary.page.provisioning", lambda: page(0xB2, put(3, 1))),
    ("primary.unit.missing", lambda: other_sense(0x00, put(12, 0x24))),
    ("primary.unit.ready", lambda: only_first(0x00, "2/04/02", 2)),
    ("primary.unit.unknown", lambda: accepting(0xC7)),
    ("primary.unit.designators", lambda: page(0x83, lambda old: old[:8] + bytes(16) + old[24:])),
    ("primary.luns.list", lambda: data(0xA0, lambda old: put(9, 9)(old))),
    ("primary.luns.allocation", lambda: data(0xA0, lambda old: bytes(8) if len(old) == 8 else old)),
    ("primary.luns.select", lambda: accepting(0xA0)),
    ("primary.sense.fixed", lambda: data(0x03, put(2, 5))),
    ("primary.sense.descriptor", lambda: data(0x03, put(0, 0x70))),
    ("primary.mode.caching primary.mode.control", lambda: data(0x1A, flip(5))),
    ("primary.mode.all", lambda: data(0x1A, flip(5), lambda cdb: cdb[2] == 0x3F)),
    ("primary.mode.unknown", lambda: accepting(0x1A)),
    ("primary.mode.long", lambda: data(0x5A, flip(10))),
    ("primary.mode.changeable", lambda: data(0x1A, shorter(1), lambda cdb: cdb[2] == 0x4A)),
    ("primary.mode.select", lambda: accepting(0x15)),
    ("primary.codes.all", lambda: data(0xA3, lambda old: old.replace(b"\xa0\0\0\0", b"\xa1\0\0\0"))),
    ("primary.codes.one", lambda: data(0xA3, flip(1))),
    ("primary.codes.unsupported", lambda: data(0xA3, put(1, 3))),
    ("primary.log.supported", lambda: data(0x4D, flip(3))),
    ("primary.attention.reset primary.attention.inquiry", lambda: ignoring(RESET)),
    # asymmetric access
    ("alua.inquiry.tpgs alua.inquiry.codes", lambda: data(INQUIRY, lambda old: put(5, old[5] & 0xCF)(old), _is_standard)),
    ("alua.page.group", lambda: page(0x83, lambda old: old.replace(b"\x51\x95", b"\x51\x96"))),
    ("alua.page.port", lambda: page(0x83, lambda old: old.replace(b"\x51\x94\0\4\0\0\0\1", b"\x51\x94\0\4\0\0\0\7"))),
    ("alua.report.header", lambda: data(RTPG, flip(3))),
    ("alua.report.descriptors", lambda: data(RTPG, put(19, 1))),
    ("alua.report.ports", lambda: data(RTPG, put(27, 1))),
    ("alua.report.states", lambda: data(RTPG, put(4, 7))),
    ("alua.report.allocation", lambda: data(RTPG, lambda old: old + b"\0" if len(old) == 4 else old)),
    ("alua.report.extended", lambda: data(RTPG, put(4, 0), lambda cdb: cdb[1] >> 5 == 1)),
    ("alua.report.format", lambda: accepting(RTPG)),
    ("alua.report.ready", lambda: data(RTPG, put(4, 2))),
    ("alua.set.empty", lambda: refusing(STPG, "5/1A/00", lambda cdb, _: cdb[6:10] == bytes(4))),
    ("alua.set.present", lambda: refusing(STPG, "5/26/00")),
    ("alua.set.state", lambda: ignoring(STPG)),
    ("alua.set.attention", lambda: other_sense(0x00, put(12, 0x29))),
    ("alua.set.group alua.set.reserved alua.set.transitioning alua.set.short-list", lambda: accepting(STPG)),
    ("alua.state.non-optimized", lambda: refusing(WRITE, "2/04/0B")),
    ("alua.state.standby alua.state.unavailable", lambda: accepting(READ)),
    ("alua.state.standby-commands", lambda: data(0x03, put(0, 0x10))),
    ("alua.state.unavailable-commands", lambda: data(INQUIRY, put(0, 0), _is_standard)),
    # block commands
    ("block.read.6", lambda: data(0x08, flip(-1))),
    ("block.read.10", lambda: data(0x28, flip(-1))),
    ("block.read.12", lambda: data(0xA8, flip(-1))),
    ("block.read.16", lambda: data(READ, flip(-1))),
    ("block.read.nothing", lambda: refusing(0x28, "5/24/00")),
    ("block.read.beyond", lambda: accepting(READ)),
    ("block.read.last", lambda: refusing(READ, "5/21/00")),
    ("block.read.protection", lambda: accepting(0x28)),
    ("block.write.6", lambda: ignoring(0x0A)),
    ("block.write.10", lambda: ignoring(0x2A)),
    ("block.write.12", lambda: ignoring(0xAA)),
    ("block.write.16 block.write.fua", lambda: ignoring_later(WRITE)),
    ("block.write.beyond", lambda: accepting(WRITE)),
    ("block.write.shared", lambda: ignoring(WRITE)),
    ("block.capacity.agree", lambda: data(0x25, flip(3))),
    ("block.capacity.allocation", lambda: data(0x9E, lambda old: put(8, 9)(old) if len(old) == 12 else old)),
    ("block.verify.medium block.verify.equal", lambda: refusing(0x2F, "E/1D/00")),
    ("block.verify.beyond block.verify.different", lambda: accepting(0x2F)),
    ("block.cache.synchronize", lambda: refusing(0x91, "4/44/00")),
    ("block.cache.beyond", lambda: accepting(0x35)),
    ("block.compare.write", lambda: ignoring(0x89)),
    ("block.compare.miscompare", lambda: other_sense(0x89, flip(6))),
    ("block.compare.nothing", lambda: refusing(0x89, "5/24/00")),
    ("block.compare.beyond", lambda: accepting(0x89)),
    ("block.same.16 block.same.no-data", lambda: ignoring(0x93)),
    ("block.same.10", lambda: ignoring(0x41)),
    ("block.same.beyond block.same.anchor", lambda: accepting(0x93)),
    ("block.unmap.zeros", lambda: ignoring(0x42)),
    ("block.unmap.others", lambda: sent(0x42, lambda old: put(14, 7)(put(15, 0xF8)(old)) if len(old) > 8 else old)),
    ("block.unmap.nothing", lambda: refusing(0x42, "5/1A/00")),
    ("block.unmap.beyond block.unmap.short-list", lambda: accepting(0x42)),
    ("block.status.written", lambda: data(0x9E, put(20, 1), lambda cdb: cdb[1] == 0x12)),
    ("block.status.beyond", lambda: accepting(0x9E)),
]


def rows() -> Iterator[tuple[str, Make]]:
    """Yield each check identifier with the function that makes its mutation."""
    for identifiers, make in ROWS:
        yield from ((identifier, make) for identifier in identifiers.split())


MUTATIONS: dict[str, Make] = dict(rows())
