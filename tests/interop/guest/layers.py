"""The contents of a guest image: Debian packages, and the files that are taken from them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Layer:
    """The contents of one archive. `packages` are resolved with their dependencies; only the files named here are taken."""

    name: str
    packages: tuple[str, ...]
    programs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    """Files below /etc that a program needs."""
    files: tuple[str, ...] = ()
    """Other files, with their paths. A library that a program loads while it runs is here, with the libraries that it needs."""
    modules: tuple[str, ...] = ()
    """Kernel modules, to which their dependencies are added. A module without a file must be built into the kernel."""


PROGRAMS = Layer(
    "programs",
    packages=(
        *("busybox-static", "coreutils", "dash", "iproute2", "mount", "util-linux"),
        *("ddpt", "open-iscsi", "sg3-utils"),
        *("dmsetup", "e2fsprogs", "ntfs-3g", "xfsprogs"),
    ),
    programs=(
        *("busybox", "dash", "ip"),
        *("blkdiscard", "blockdev", "dd", "dmsetup", "fstrim", "md5sum", "mount", "sync", "truncate", "umount"),
        *("ddpt", "ddptctl", "iscsiadm", "iscsid"),
        *("sg_compare_and_write", "sg_get_lba_status", "sg_inq", "sg_logs", "sg_luns", "sg_modes", "sg_opcodes", "sg_persist"),
        *("sg_format", "sg_ident", "sg_rmsn", "sg_senddiag", "sg_test_rwbuf", "sg_timestamp", "sg_write_buffer"),
        *(
            "sg_raw",
            "sg_readcap",
            "sg_requests",
            "sg_reset",
            "sg_sanitize",
            "sg_sync",
            "sg_turs",
            "sg_unmap",
            "sg_verify",
            "sg_vpd",
        ),
        *("sg_rtpg", "sg_stpg"),
        *("sg_write_same", "sg_write_verify", "sg_xcopy", "sg_copy_results", "sg_seek", "sg_wr_mode"),
        *("debugfs", "e2fsck", "mkfs.ext4", "mkfs.ntfs", "mkfs.xfs", "ntfs-3g", "ntfsfix", "resize2fs", "xfs_repair"),
    ),
    settings=("mke2fs.conf",),
)

FIO = Layer("fio", packages=("fio",), programs=("fio",))

MULTIPATH = Layer(
    "multipath",
    packages=("multipath-tools", "dmsetup", "udev", "libgcc-s1"),
    programs=("multipath", "multipathd", "udevadm"),
    files=(
        *(f"lib/multipath/lib{name}.so" for name in ("checktur", "prioalua", "prioconst", "priosysfs")),
        "lib/x86_64-linux-gnu/libgcc_s.so.1",  # loaded when a thread is cancelled
        "lib/udev/scsi_id",
        *(f"lib/udev/rules.d/{name}.rules" for name in ("55-dm", "56-dm-mpath", "60-multipath", "60-persistent-storage")),
        *(f"lib/udev/rules.d/{name}.rules" for name in ("60-persistent-storage-dm", "95-dm-notify")),
    ),
)
"""multipathd with udevd, which tells it about disks."""

EXTRAS = {layer.name: layer for layer in (FIO, MULTIPATH)}
"""Layers that only some scenarios need, so that other guests boot fast."""

SCSI_MODULES = ("scsi_mod", "sd_mod", "sg", "iscsi_tcp", "crc32c_generic", "libcrc32c", "crc32c_intel")
FILE_SYSTEM_MODULES = ("ext4", "xfs", "fuse", "crc16", "mbcache", "jbd2")
TARGET_MODULES = ("configfs", "target_core_mod", "target_core_file", "iscsi_target_mod")
MULTIPATH_MODULES = ("dm_multipath", "dm_round_robin", "dm_service_time", "scsi_dh_alua")

UML_MODULES = Layer(
    "uml-modules",
    packages=("user-mode-linux",),
    modules=(*SCSI_MODULES, *FILE_SYSTEM_MODULES, *MULTIPATH_MODULES, *TARGET_MODULES),
)

QEMU_MODULES = Layer(
    "qemu-modules",
    packages=("linux-image-amd64",),
    modules=(
        *("virtio_pci", "virtio_net", "9p", "9pnet_virtio"),
        *SCSI_MODULES,
        *FILE_SYSTEM_MODULES,
        *MULTIPATH_MODULES,
        *TARGET_MODULES,
    ),
)

LATE_MODULES = frozenset((*FILE_SYSTEM_MODULES, *MULTIPATH_MODULES, *TARGET_MODULES))
"""Modules that are loaded only when a scenario needs them, so that booting is fast."""
