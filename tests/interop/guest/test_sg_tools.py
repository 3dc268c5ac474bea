"""Tests of sg3-utils through the kernel's SG_IO, with each page and each command that the tools send."""

import pytest

from tests.interop.guest.conftest import Guest

pytestmark = pytest.mark.interop

LUNS = [0, 2]
"""One LUN with blocks of 512 bytes, and one with blocks of 4096 bytes."""

BLOCK_BYTES = {0: 512, 2: 4096}


@pytest.mark.parametrize("lun", LUNS)
def test_every_page_is_understood(guest: Guest, lun: int) -> None:
    printed = guest.run(
        """
        login; device=$(generic $lun)
        sg_inq $device
        pages=$(sg_vpd -p sv --hex $device | sed -n 's/^ *00  *//p' | cut -c1-50)
        set -- $pages; shift 4
        for page; do echo "page $page"; sg_vpd -p 0x$page $device; done
        sg_vpd -a $device >/dev/null
        sg_modes -a $device
        sg_luns $device
        sg_opcodes $device
        sg_opcodes -q -t $device
        """,
        lun=lun,
    )
    for wanted in (
        *(f"page {page}" for page in ("00", "80", "83", "86", "8f", "b0", "b1", "b2")),
        *("Vendor identification: ODX", "3PC=1", "CmdQue=1", "Block Device ROD Token Limits", "Lun list length = 32"),
        *("Populate token", "Write using token", "Caching", "Control", "thin provisioned"),
    ):
        assert wanted in printed
    # UGAVALID is 0: there is no alignment that could be wrong
    rest = printed.lower().replace("granularity alignment: 0 [invalid]", "")
    for unwanted in ("reserved", "decode", "invalid", "malformed", "bad "):
        assert unwanted not in rest


@pytest.mark.parametrize("lun", LUNS)
def test_every_log_page_is_understood(guest: Guest, lun: int) -> None:
    printed = guest.run(
        """
        login; device=$(generic $lun)
        sg_logs $device
        sg_logs --list --list $device
        sg_logs --all $device
        sg_logs --all --all $device
        sg_logs --page=0xc,0xff $device
        sg_logs --page=0xc --paramp=2 $device
        """,
        lun=lun,
    )
    for wanted in (
        *("0x0c        Logical block provisioning [lbp]", "0x2f        Informational exceptions [ie]", "0x0c,0xff"),
        *("Available LBA mapping threshold resource count: ", "Used LBA mapping threshold resource count: "),
        *("Scope: not dedicated to lu", "IE asc = 0x0, ascq = 0x0", "Current temperature = <not available>"),
    ):
        assert wanted in printed
    # UGAVALID is 0: there is no alignment that could be wrong
    rest = printed.lower().replace("granularity alignment: 0 [invalid]", "")
    for unwanted in ("reserved", "decode", "invalid", "malformed", "bad "):
        assert unwanted not in rest


@pytest.mark.parametrize("lun", LUNS)
def test_capacity(guest: Guest, lun: int) -> None:
    printed = guest.run("login; sg_readcap $(generic $lun); sg_readcap -l $(generic $lun)", lun=lun)
    assert printed.count(f"Logical block length={BLOCK_BYTES[lun]} bytes") == 2
    assert "lbpme=1, lbprz=1" in printed
    assert "physical block length=4096 bytes" in printed or BLOCK_BYTES[lun] == 4096


@pytest.mark.witnessed
@pytest.mark.parametrize("lun", LUNS)
def test_unmapped_and_written_the_same(guest: Guest, lun: int) -> None:
    guest.run(
        """
        login; device=$(generic $lun); disk=$(disk $lun)
        fill $disk 0 512
        before=$(sum $disk 0 64) behind=$(sum $disk 392 120)
        sg_unmap --lba=64 --num=64 --force $device
        zeros $disk 64 64
        sg_write_same --16 --unmap --lba=256 --num=128 $device
        zeros $disk 256 128
        dd if=/dev/urandom of=/tmp/block bs=$(blockdev --getss $disk) count=1 2>/dev/null
        sg_write_same --16 --in=/tmp/block --xferlen=$(blockdev --getss $disk) --lba=384 --num=8 $device
        for lba in 384 391; do
            [ "$(sum $disk $lba 1)" = "$(md5sum </tmp/block)" ]
        done
        [ "$before $behind" = "$(sum $disk 0 64) $(sum $disk 392 120)" ]
        """,
        lun=lun,
    )


@pytest.mark.parametrize("lun", LUNS)
def test_what_is_mapped(guest: Guest, lun: int) -> None:
    guest.run(
        """
        login; device=$(generic $lun); disk=$(disk $lun)
        fill $disk 0 512
        sg_get_lba_status -l 0 $device | grep 'blocks: *512 *mapped'
        sg_unmap --lba=64 --num=64 --force $device
        sg_get_lba_status -l 64 $device | grep 'blocks: *64 *deallocated'
        sg_write_same --16 --unmap --lba=256 --num=128 $device
        sg_get_lba_status -l 256 $device | grep 'blocks: *128 *deallocated'
        """,
        lun=lun,
    )


@pytest.mark.parametrize("lun", LUNS)
def test_verified(guest: Guest, lun: int) -> None:
    guest.run(
        """
        login; device=$(generic $lun); disk=$(disk $lun)
        fill $disk 0 16
        sg_verify --lba=0 --count=16 $device
        sg_verify --16 --lba=0 --count=16 $device
        bytes=$(($(blockdev --getss $disk) * 16))
        head -c $bytes $disk >/tmp/data
        sg_verify --lba=0 --count=16 --ndo=$bytes --in=/tmp/data $device
        head -c $bytes /dev/zero >/tmp/data
        expect 14 sg_verify --quiet --lba=0 --count=16 --ndo=$bytes --in=/tmp/data $device
        """,
        lun=lun,
    )


@pytest.mark.witnessed
@pytest.mark.parametrize("lun", LUNS)
def test_written_and_verified(guest: Guest, lun: int) -> None:
    guest.run(
        """
        login; device=$(generic $lun); disk=$(disk $lun)
        fill $disk 0 32
        bytes=$(blockdev --getss $disk)
        before=$(sum $disk 0 8) behind=$(sum $disk 24 8)
        dd if=/dev/urandom of=/tmp/data bs=$bytes count=16 2>/dev/null
        sg_write_verify --lba=8 --num=16 --bytchk=1 --in=/tmp/data $device
        [ "$(sum $disk 8 16)" = "$(md5sum </tmp/data)" ]
        dd if=/dev/urandom of=/tmp/data bs=$bytes count=16 2>/dev/null
        sg_write_verify --16 --lba=8 --num=16 --in=/tmp/data $device
        [ "$(sum $disk 8 16)" = "$(md5sum </tmp/data)" ]
        [ "$before $behind" = "$(sum $disk 0 8) $(sum $disk 24 8)" ]
        sg_write_same --10 --in=/tmp/data --xferlen=$bytes --lba=8 --num=16 $device
        for lba in 8 23; do
            [ "$(sum $disk $lba 1)" = "$(head -c $bytes /tmp/data | md5sum)" ]
        done
        [ "$before $behind" = "$(sum $disk 0 8) $(sum $disk 24 8)" ]
        """,
        lun=lun,
    )


@pytest.mark.parametrize("lun", LUNS)
def test_fetched_ahead(guest: Guest, lun: int) -> None:
    # 25: condition met
    guest.run(
        """
        login; device=$(generic $lun)
        expect 25 sg_seek --pre-fetch --10 --lba=8 --num-blocks=16 $device 2>&1
        expect 25 sg_seek --pre-fetch --lba=8 --num-blocks=16 $device 2>&1
        """,
        lun=lun,
    )


@pytest.mark.witnessed
@pytest.mark.parametrize("lun", LUNS)
def test_compared_and_written(guest: Guest, lun: int) -> None:
    guest.run(
        """
        login; device=$(generic $lun); disk=$(disk $lun)
        fill $disk 0 16
        bytes=$(blockdev --getss $disk)
        content $disk 5 1 >/tmp/present
        { head -c 300 /tmp/present; tail -c +301 /tmp/present | tr '\\000-\\377' '\\001-\\377\\000'; } >/tmp/new
        before=$(sum $disk 0 5) behind=$(sum $disk 6 10)
        cat /tmp/present /tmp/new >/tmp/both
        sg_compare_and_write --in=/tmp/both --xferlen=$((2 * bytes)) --lba=5 --num=1 $device 2>&1
        [ "$(sum $disk 5 1)" = "$(md5sum </tmp/new)" ]
        expect 14 sg_compare_and_write --in=/tmp/both --xferlen=$((2 * bytes)) --lba=5 --num=1 $device >/tmp/said 2>&1
        cat /tmp/said; grep 'byte offset: 300 ' /tmp/said
        cat /tmp/new /tmp/present >/tmp/both
        sg_compare_and_write --fua --dpo --in=/tmp/both --xferlen=$((2 * bytes)) --lba=5 --num=1 $device
        [ "$(sum $disk 5 1)" = "$(md5sum </tmp/present)" ]
        [ "$before $behind" = "$(sum $disk 0 5) $(sum $disk 6 10)" ]
        """,
        lun=lun,
    )


def test_the_kernel_switches_the_write_cache(guest: Guest) -> None:
    guest.run("""
        login; disk=$(disk 0)
        for type in /sys/class/scsi_disk/*:0/cache_type; do [ ! -e "$type" ] || found=$type; done
        [ "$(cat $found)" = "write back" ]
        echo "write through" >$found
        [ "$(cat $found)" = "write through" ]
        sg_raw --request=24 $(generic 0) 1a 08 08 00 18 00 2>&1 | grep '17 00 10 00 08 12 00'
        fill $disk 0 64
        sum $disk 0 64 >/tmp/sum
        echo "write back" >$found
        [ "$(cat $found)" = "write back" ]
        [ "$(sum $disk 0 64)" = "$(cat /tmp/sum)" ]
    """)


def test_mode_pages_are_written_back(guest: Guest) -> None:
    guest.run("""
        login; device=$(generic 0); disk=$(disk 0)
        fill $disk 0 8
        sg_wr_mode --page=0xa --contents=0a,0a,04,00,08,00,00,00,00,00,00,00 $device
        expect 7 sg_write_same --10 --in=/dev/zero --xferlen=512 --lba=0 --num=8 $device 2>&1
        expect 5 sg_wr_mode --page=0xa --contents=0a,0a,04,40,08,00,00,00,00,00,00,00 --mask=ff,ff,ff,ff $device 2>&1
        sg_wr_mode --page=0xa --contents=0a,0a,00,00,00,00,00,00,00,00,00,00 $device
        sg_write_same --10 --in=/dev/zero --xferlen=512 --lba=0 --num=8 $device
        zeros $disk 0 8
    """)


def test_resets_are_told_to_those_who_use_the_unit(guest: Guest) -> None:
    printed = guest.run("""
        login; device=$(generic 0)
        sg_sync $device
        sg_turs $device
        sg_requests $device
        sg_reset --device $device
        expect 6 sg_raw $device 00 00 00 00 00 00
        sg_turs $device
        sg_reset --target $device
        expect 6 sg_raw $device 00 00 00 00 00 00
        fill $(disk 0) 0 128
    """)
    assert printed.count("Unit Attention") == 2


def test_what_is_not_there_is_refused_as_unknown(guest: Guest) -> None:
    # 9: invalid command operation code
    guest.run("""
        login; device=$(generic 0)
        sg_opcodes -q --opcode=0x4c $device | grep -i 'not supported'
        expect 9 sg_logs --reset $device
        fill $(disk 0) 0 8
    """)


@pytest.mark.parametrize("lun", LUNS)
def test_blkdiscard_gives_blocks_back(guest: Guest, lun: int) -> None:
    guest.run(
        """
        login; device=$(generic $lun); disk=$(disk $lun)
        fill $disk 0 2048
        blkdiscard -o $(($(blockdev --getss $disk) * 1024)) -l $(($(blockdev --getss $disk) * 1024)) $disk
        zeros $disk 1024 1024
        sg_get_lba_status -l 1024 $device | grep deallocated
        blkdiscard -z -o 0 -l $(($(blockdev --getss $disk) * 512)) $disk
        zeros $disk 0 512
        blkdiscard $disk
        blocks=$(($(blockdev --getsize64 $disk) / $(blockdev --getss $disk)))
        sg_get_lba_status -l 0 $device | grep "blocks: *$blocks *deallocated"
        """,
        lun=lun,
    )


@pytest.mark.parametrize("lun", LUNS)
def test_fstrim_gives_the_blocks_of_deleted_files_back(guest: Guest, lun: int) -> None:
    printed = guest.run(
        """
        login; disk=$(disk $lun); module ext4; mkdir -p /mnt/trim
        used() {
            total=0
            sg_get_lba_status --brief --maxlen=65536 -l 0 $(generic $lun) >/tmp/extents
            while read -r lba count provisioning rest; do
                [ "${lba#0x} $provisioning" = "$lba 0" ] || [ "$provisioning" != 0 ] || total=$((total + count))
            done </tmp/extents
            echo $((total * $(blockdev --getss $disk)))
        }
        mkfs.ext4 -q -F $disk
        mount -t ext4 $disk /mnt/trim
        dd if=/dev/urandom of=/mnt/trim/keep bs=1M count=2 conv=fsync 2>/dev/null
        dd if=/dev/urandom of=/mnt/trim/lose bs=1M count=24 conv=fsync 2>/dev/null
        md5sum /mnt/trim/keep >/tmp/sum
        echo full $(used)
        rm /mnt/trim/lose; sync
        fstrim -v /mnt/trim
        echo trimmed $(used)
        umount /mnt/trim
        e2fsck -f -n $disk
        mount -t ext4 $disk /mnt/trim
        md5sum -c /tmp/sum
        """,
        lun=lun,
    )
    used = {words[0]: int(words[1]) for line in printed.splitlines() if (words := line.split())[0] in ("full", "trimmed")}
    assert used["full"] - used["trimmed"] >= 23 << 20


@pytest.mark.parametrize("lun", LUNS)
def test_formatted(guest: Guest, lun: int) -> None:
    guest.run(
        """
        login; device=$(generic $lun); disk=$(disk $lun)
        fill $disk 0 512
        sg_format --format --quick --wait $device
        zeros $disk 0 512
        fill $disk 0 512
        sg_format --format --quick --early $device
        until sg_turs $device; do sg_requests $device; done
        zeros $disk 0 512
        """,
        lun=lun,
    )


@pytest.mark.parametrize("lun", LUNS)
def test_diagnostics_buffers_and_identification(guest: Guest, lun: int) -> None:
    printed = guest.run(
        """
        login; device=$(generic $lun)
        sg_senddiag --test $device
        sg_senddiag --pf --list $device
        sg_test_rwbuf --size=512 --times=2 $device
        head -c 256 /dev/urandom >/tmp/echo
        sg_write_buffer --mode=echo --in=/tmp/echo --length=256 $device
        sg_raw --request=256 --outfile=/tmp/back $device 3c 0a 00 00 00 00 00 01 00 00
        cmp /tmp/echo /tmp/back
        expect 5 sg_write_buffer --mode=dmc_save --in=/tmp/echo --length=256 $device
        printf 'disk of the database' | sg_ident --set $device
        sg_ident --ascii $device
        printf '' | sg_ident --clear $device
        sg_timestamp $device
        sg_rmsn $device
        sg_persist --in --report-capabilities $device
        """,
        lun=lun,
    )
    for wanted in ("disk of the database", "(CRH): 1"):
        assert wanted in printed, printed
