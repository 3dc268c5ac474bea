# What every script of a scenario begins with. $portal and $target are set by the test.
set -eu

discover() {
    iscsiadm -m discovery -t sendtargets -p "$portal"
}

node() {
    iscsiadm -m node -T "$target" -p "$portal" "$@"
}

# key NAME VALUE: set what is offered at the next login, such as iscsi.ImmediateData No
key() {
    node -o update -n "node.session.$1" -v "$2"
}

connection_key() {
    node -o update -n "node.conn[0].$1" -v "$2"
}

login() {
    [ -d "/etc/iscsi/nodes/$target" ] || discover >/dev/null
    node --login >/dev/null
}

logout() {
    node --logout >/dev/null
}

# what was agreed upon at login, as "name value" lines
agreed() {
    for file in /sys/class/iscsi_session/session*/* /sys/class/iscsi_connection/connection*/*; do
        if [ -f "$file" ] && value=$(cat "$file" 2>/dev/null); then
            echo "${file##*/} $value"
        fi
    done
}

# within SECONDS COMMAND...: try until it succeeds
within() {
    tries=$(($1 * 20))
    shift
    until "$@"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.05
    done
}

_block() {
    for found in /sys/class/scsi_device/*:*:*:"$1"/device/block/*; do
        [ -b "/dev/${found##*/}" ] && return 0
    done
    return 1
}

# disk LUN: its /dev/sd.
disk() {
    within 10 _block "$1" || { echo "no disk for LUN $1" >&2; return 1; }
    echo "/dev/${found##*/}"
}

# generic LUN: its /dev/sg., where SG_IO bypasses the block layer
generic() {
    within 10 _block "$1" || { echo "no device for LUN $1" >&2; return 1; }
    for found in /sys/class/scsi_device/*:*:*:"$1"/device/scsi_generic/*; do
        echo "/dev/${found##*/}"
    done
}

# module NAME: load it, with what it depends on
module() {
    while read -r name; do
        [ -z "$name" ] || [ -d "/sys/module/$name" ] || insmod "/lib/modules/$name.ko"
    done <"/lib/modules/$1.order"
}

# expect STATUS COMMAND...: fails unless the command ends with this status
expect() {
    wanted=$1
    shift
    got=0
    "$@" || got=$?
    [ "$got" = "$wanted" ] || { echo "$* ended with $got instead of $wanted"; return 1; }
}

# _units DISK LBA COUNT: the operands of dd, with few and large blocks if possible
_units() {
    unit=1
    [ $(($2 % 256)) != 0 ] || [ $(($3 % 256)) != 0 ] || unit=256
    bytes=$(($(blockdev --getss "$1") * unit)) first=$(($2 / unit)) blocks=$(($3 / unit))
}

# fill DISK LBA COUNT: random data
fill() {
    _units "$@"
    dd if=/dev/urandom of="$1" bs=$bytes seek=$first count=$blocks iflag=fullblock conv=fsync,notrunc,nocreat 2>/dev/null
}

# content DISK LBA COUNT: what the array has there now
content() {
    _units "$@"
    blockdev --flushbufs "$1"
    dd if="$1" bs=$bytes skip=$first count=$blocks 2>/dev/null
}

# sum DISK LBA COUNT: a checksum of it
sum() {
    content "$@" | md5sum
}

# same DISK LBA DISK LBA COUNT
same() {
    [ "$(sum "$1" "$2" "$5")" = "$(sum "$3" "$4" "$5")" ] || { echo "$1 at $2 and $3 at $4 differ"; return 1; }
}

# zeros DISK LBA COUNT
zeros() {
    others=$(content "$@" | tr -d '\0' | wc -c)
    [ "$others" = 0 ] || { echo "$1 at $2 has $others bytes that are not 0"; return 1; }
}

# disks LUN: one line for each session that sees it
disks() {
    within 10 _block "$1"
    for found in /sys/class/scsi_device/*:*:*:"$1"/device/block/*; do
        echo "/dev/${found##*/}"
    done
}

# the numbers of our sessions
sessions() {
    ls /sys/class/iscsi_session | sed s/session//
}

# argument NAME: how the guest was booted
argument() {
    tr ' ' '\n' </proc/cmdline | sed -n "s/^guest\.$1=//p"
}
