"""Mode pages (SPC-4 7.5, SBC-3 6.5): their layouts, and which of their fields MODE SELECT can change."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from odx_target.scsi.layout import Layout

CACHING = 0x08
CONTROL = 0x0A
INFORMATIONAL_EXCEPTIONS_CONTROL = 0x1C
ALL_PAGES = 0x3F
NO_SUBPAGE = 0x00
ALL_SUBPAGES = 0xFF

HEADER_6 = Layout("mode_data_length:8 medium_type:8 wp:1 -:2 dpofua:1 -:4 block_descriptor_length:8")
HEADER_10 = Layout("mode_data_length:16 medium_type:8 wp:1 -:2 dpofua:1 -:4 -:7 longlba:1 -:8 block_descriptor_length:16")
SHORT_BLOCK_DESCRIPTOR = Layout("number_of_logical_blocks:32 -:8 logical_block_length:24")
LONG_BLOCK_DESCRIPTOR = Layout("number_of_logical_blocks:64 -:32 logical_block_length:32")
PAGE_HEADER = Layout("ps:1 spf:1 page_code:6 page_length:8")

# Bodies, without the page header.
CACHING_LAYOUT = Layout(
    "ic:1 abpf:1 cap:1 disc:1 size:1 wce:1 mf:1 rcd:1 demand_read_retention_priority:4 write_retention_priority:4 "
    "disable_prefetch_transfer_length:16 minimum_prefetch:16 maximum_prefetch:16 maximum_prefetch_ceiling:16 "
    "fsw:1 lbcss:1 dra:1 -:2 sync_prog:2 nv_dis:1 number_of_cache_segments:8 cache_segment_size:16 -:32"
)
CONTROL_LAYOUT = Layout(
    "tst:3 tmf_only:1 dpicz:1 d_sense:1 gltsd:1 rlec:1 queue_algorithm_modifier:4 nuar:1 qerr:2 -:1 "
    "vs:1 rac:1 ua_intlck_ctrl:2 swp:1 -:3 ato:1 tas:1 atmpe:1 rwwp:1 -:1 autoload_mode:3 "
    "-:16 busy_timeout_period:16 extended_self_test_completion_time:16"
)
INFORMATIONAL_EXCEPTIONS_LAYOUT = Layout(
    "perf:1 -:1 ebf:1 ewasc:1 dexcpt:1 test:1 ebackerr:1 logerr:1 -:4 mrie:4 interval_timer:32 report_count:32"
)


@dataclass(frozen=True, slots=True)
class ModeParameters:
    """The changeable mode parameters of a logical unit, shared by all nexuses (TST 000b)."""

    write_cache_enabled: bool
    """True if written data may be lost in a power failure before the next SYNCHRONIZE CACHE."""
    descriptor_format_sense: bool
    software_write_protect: bool = False


@dataclass(frozen=True, slots=True)
class ModePage:
    """The body of a mode page. `changeable` maps fields to attributes of `ModeParameters`; `fixed` has other values."""

    layout: Layout
    changeable: Mapping[str, str]
    fixed: Mapping[str, int]

    def build(self, parameters: ModeParameters) -> bytes:
        """Build the body for these parameters."""
        values = {field: int(getattr(parameters, name)) for field, name in self.changeable.items()}
        return self.layout.build(**self.fixed, **values)

    def changeable_bits(self) -> bytes:
        """Build the body with ones in the fields that MODE SELECT can change."""
        return self.layout.build(**dict.fromkeys(self.changeable, 1))

    def select(self, body: bytes, parameters: ModeParameters) -> ModeParameters:
        """Return the parameters that a body sets."""
        fields = self.layout.parse(body)
        return replace(parameters, **{name: bool(fields[field]) for field, name in self.changeable.items()})


PAGES: dict[int, ModePage] = {
    CACHING: ModePage(CACHING_LAYOUT, {"wce": "write_cache_enabled"}, {}),
    # QERR 00b and TAS 0: an error ends one command, and a task that another nexus aborts ends without a status.
    CONTROL: ModePage(CONTROL_LAYOUT, {"d_sense": "descriptor_format_sense", "swp": "software_write_protect"}, {}),
    # DEXCPT 1: reporting of informational exceptions is disabled.
    INFORMATIONAL_EXCEPTIONS_CONTROL: ModePage(INFORMATIONAL_EXCEPTIONS_LAYOUT, {}, {"dexcpt": 1}),
}
"""Mode pages by page code, ascending."""
