# Shell functions for a disk that is reached through two arrays, with multipathd, and for a load whose answers are all checked.
# The test sets $portal_1, $target_1, $portal_2 and $target_2: the portals and target names of both arrays; $verbosity, that of
# multipathd; and $size, that of the file with verified data.

: "${KERNEL_LOG:=/tmp/kernel}"
: "${FOUND_RECORDS:=/tmp/found}"

# login_to PORTAL TARGET: log in
login_to() {
    iscsiadm -m node -T "$2" -p "$1" --op new >/dev/null
    iscsiadm -m node -T "$2" -p "$1" --login >/dev/null
}

# suit_paths: give new sessions timeouts that suit several paths
suit_paths() {
    sed -i -e 's/\(replacement_timeout =\).*/\1 5/' -e 's/\(noop_out_interval =\).*/\1 1/' -e 's/\(noop_out_timeout =\).*/\1 4/' \
        /etc/iscsi/iscsid.conf
}

# two_paths: true if the disk has two groups of paths
two_paths() { dmsetup table | grep -q '^mpatha: .* 2 1 service-time .* service-time '; }

# multipath_disk: start udevd and multipathd, and log in to both arrays; the disk is /dev/mapper/mpatha
multipath_disk() {
    module dm_multipath; module dm_service_time; module ext4
    [ ! -e /lib/modules/scsi_dh_alua.ko ] || module scsi_dh_alua
    mkdir -p /run/udev /etc/multipath
    ln -sf udevadm /bin/systemd-udevd
    systemd-udevd --daemon 2>/tmp/udevd
    multipathd -d -v"$verbosity" >>/tmp/multipathd 2>&1 &
    suit_paths
    login_to "$portal_1" "$target_1"
    login_to "$portal_2" "$target_2"
    within 60 two_paths
    udevadm settle
}

# end_multipath: end what multipath_disk has started
end_multipath() {
    multipathd shutdown >/dev/null
    gone() { ! multipathd show daemon; }
    within 10 gone >/dev/null 2>&1
    within 30 multipath -F # udevd may still look at the disk
    iscsiadm -m node --logoutall=all >/dev/null
    udevadm control --exit --timeout=30
    within 10 rm -rf /run/udev # its workers may still remove files
}

# write_records FILE: write numbered records, until there is a file /share/stop. After each record that is durable, print its number
# and the time.
write_records() {
    number=0
    while [ ! -e /share/stop ]; do
        echo "record $number" | dd of="$1" bs=4k seek=$number conv=fsync,notrunc,sync 2>/tmp/record || { cat /tmp/record; return 1; }
        read -r now _ </proc/uptime
        echo "durable $number $now"
        number=$((number + 1))
    done
}

# keep_logs FOLDER: copy what multipathd and the kernel have logged since the last fault, and the states of all sessions and disks
keep_logs() {
    mkdir -p "$1"
    echo "$(date -u +%H:%M:%S.%N) in the guest is $(cut -d ' ' -f 1 /proc/uptime) s" >"$1/times"
    collect_kernel_log
    cp /tmp/multipathd "$KERNEL_LOG" "$1"
    for file in /sys/class/iscsi_session/*/state /sys/class/scsi_device/*/device/state /sys/class/scsi_device/*/device/access_state; do
        [ ! -f "$file" ] || echo "${file#/sys/class/} $(cat "$file" 2>/dev/null)"
    done >"$1/states"
    dmsetup status >>"$1/states" 2>&1
}

# forget_logs: begin the log of multipathd anew. The log of the kernel is kept, because errors are looked for in all of it.
forget_logs() {
    collect_kernel_log
    : >/tmp/multipathd
}

# collect_kernel_log: append what the kernel has logged to $KERNEL_LOG, before its buffer is too small for it
collect_kernel_log() { dmesg -c >>"$KERNEL_LOG"; }

# has_records FILE COUNT: fail unless the file has this many records, in their order
has_records() {
    tr -d '\0' <"$1" >"$FOUND_RECORDS"
    seq 0 $(($2 - 1)) | sed 's/^/record /' | cmp - "$FOUND_RECORDS"
}

# verified FILE SEED OPTION...: write $size bytes, and verify everything; or only verify it, with --verify_only
verified() {
    file=$1 seed=$2
    shift 2
    fio --name=verified --filename="$file" --size="$size" --rw=randwrite --bsrange=4k-64k --blockalign=4k --ioengine=libaio --iodepth=8 \
        --direct=1 --fsync=16 --verify=crc32c --verify_fatal=1 --rate_iops=100 --randseed="$seed" --output=/tmp/fio "$@" ||
        { cat /tmp/fio; return 1; }
    grep -q 'err= 0' /tmp/fio || { cat /tmp/fio; return 1; }
}

# write_verified FILE: write and verify the file again and again, until there is a file /share/stop
write_verified() {
    seed=0
    while [ ! -e /share/stop ]; do
        seed=$((seed + 1))
        verified "$1" $seed --verify_backlog=32 || return 1
        echo "verified $seed"
    done
}

# no_errors: fail if the kernel has reported an error of the disk or of its file system. Errors of single paths are expected.
no_errors() {
    collect_kernel_log
    if grep -E 'dev dm-|EXT4-fs (error|warning)|JBD2:|Aborting journal|blocked for more than' "$KERNEL_LOG"; then return 1; fi
}
