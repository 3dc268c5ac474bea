# Shell functions that are read before every script of a scenario. The test sets $portal and $target.
set -eu

# discover OPTION...: find the target by SendTargets
discover() {
    iscsiadm -m discovery -t sendtargets -p "$portal" "$@"
}

node() {
    iscsiadm -m node -T "$target" -p "$portal" "$@"
}

# key NAME VALUE: set a value to offer at the next login, such as iscsi.ImmediateData No
key() {
    node -o update -n "node.session.$1" -v "$2"
}

connection_key() {
    node -o update -n "node.conn[0].$1" -v "$2"
}

# chap USER SECRET [TARGET_USER TARGET_SECRET]: set the CHAP user and secret, and those of the target, for the next login
chap() {
    key auth.authmethod CHAP
    key auth.username "$1"
    key auth.password "$2"
    [ $# = 2 ] || { key auth.username_in "$3"; key auth.password_in "$4"; }
}

discovery() {
    iscsiadm -m discoverydb -t sendtargets -p "$portal" "$@"
}

# discover_by_chap USER SECRET [TARGET_USER TARGET_SECRET]: find the target in a discovery session with CHAP
discover_by_chap() {
    discovery -o new >/dev/null
    discovery -o update -n discovery.sendtargets.auth.authmethod -v CHAP
    discovery -o update -n discovery.sendtargets.auth.username -v "$1"
    discovery -o update -n discovery.sendtargets.auth.password -v "$2"
    if [ $# != 2 ]; then
        discovery -o update -n discovery.sendtargets.auth.username_in -v "$3"
        discovery -o update -n discovery.sendtargets.auth.password_in -v "$4"
    fi
    discovery --discover
}

login() {
    [ -d "/etc/iscsi/nodes/$target" ] || discover >/dev/null
    node --login >/dev/null
}

logout() {
    node --logout >/dev/null
}

# agreed: print the negotiated values as "name value" lines
agreed() {
    for file in /sys/class/iscsi_session/session*/* /sys/class/iscsi_connection/connection*/*; do
        if [ -f "$file" ] && value=$(cat "$file" 2>/dev/null); then
            echo "${file##*/} $value"
        fi
    done
}

# within SECONDS COMMAND...: repeat a command until it succeeds
within() {
    _tries=$(($1 * 20))
    shift
    until "$@"; do
        _tries=$((_tries - 1))
        [ $_tries -gt 0 ] || return 1
        sleep 0.05
    done
}

_block() {
    for _found in /sys/class/scsi_device/*:*:*:"$1"/device/block/*; do
        [ -b "/dev/${_found##*/}" ] && return 0
    done
    return 1
}

# _devices LUN: print the folders of its disks in /sys, one for each session with this LUN, when the kernel has inspected them.
# The kernel may still do so after a login, and one of its commands could get the unit attention that the scenario waits for. A
# rescan waits until the kernel has finished, and the echo waits for the rescan. Without a disk, the rescan would end too early.
_devices() {
    within 10 _block "$1" || { echo "no disk for LUN $1" >&2; return 1; }
    for _found in /sys/class/scsi_device/*:*:*:"$1"/device/block/*; do
        _folder=${_found%/block/*}
        _mark=/tmp/settled-$(stat -L -c %i "$_folder")
        [ -e "$_mark" ] || { echo 1 >"$_folder/rescan"; : >"$_mark"; }
        echo "$_folder"
    done
}

# _nodes LUN CLASS: print the /dev/ name of this class for each disk of the LUN
_nodes() {
    _folders=$(_devices "$1") || return 1
    for _folder in $_folders; do
        for _found in "$_folder/$2"/*; do
            echo "/dev/${_found##*/}"
        done
    done
}

# disks LUN: print its /dev/sd names, one line for each session with this LUN
disks() {
    _nodes "$1" block
}

# disk LUN: print its first /dev/sd name
disk() {
    _disks=$(disks "$1") || return 1
    echo "$_disks" | head -n 1
}

# generic LUN: print its first /dev/sg name, through which SG_IO bypasses the block layer
generic() {
    _nodes "$1" scsi_generic
}

# module NAME: load a kernel module and its dependencies
module() {
    while read -r name; do
        [ -z "$name" ] || [ -d "/sys/module/$name" ] || insmod "/lib/modules/$name.ko"
    done <"/lib/modules/$1.order"
}

# expect STATUS COMMAND...: fail unless the command ends with this exit status
expect() {
    _wanted=$1
    shift
    _got=0
    "$@" || _got=$?
    [ "$_got" = "$_wanted" ] || { echo "$* ended with $_got instead of $_wanted"; return 1; }
}

# _units DISK LBA COUNT: print the operands of dd, with few large blocks if possible
_units() {
    _unit=1
    [ $(($2 % 256)) != 0 ] || [ $(($3 % 256)) != 0 ] || _unit=256
    _bytes=$(($(blockdev --getss "$1") * _unit)) _first=$(($2 / _unit)) _blocks=$(($3 / _unit))
}

# fill DISK LBA COUNT: write random data
fill() {
    _units "$@"
    dd if=/dev/urandom of="$1" bs=$_bytes seek=$_first count=$_blocks iflag=fullblock conv=fsync,notrunc,nocreat 2>/dev/null
}

# content DISK LBA COUNT: print the present data on the array. What cannot be read is like no data of another range, and not zero.
content() {
    _units "$@"
    blockdev --flushbufs "$1"
    dd if="$1" bs=$_bytes skip=$_first count=$_blocks 2>/dev/null || echo "$1 cannot be read at $2"
}

# sum DISK LBA COUNT: print a checksum of the present data on the array
sum() {
    content "$@" | md5sum
}

# same DISK LBA DISK LBA COUNT: fail unless both ranges have the same data
same() {
    [ "$(sum "$1" "$2" "$5")" = "$(sum "$3" "$4" "$5")" ] || { echo "$1 at $2 and $3 at $4 differ"; return 1; }
}

# alike FILE: fail unless standard input equals the file. It does not use cmp, which is slow if instructions are emulated.
alike() {
    [ "$(md5sum)" = "$(md5sum <"$1")" ] || { echo "what came in is not what $1 has"; return 1; }
}

# zeros DISK LBA COUNT: fail unless the range has only zeros
zeros() {
    _others=$(content "$@" | tr -d '\0' | wc -c)
    [ "$_others" = 0 ] || { echo "$1 at $2 has $_others bytes that are not 0"; return 1; }
}

# sessions: print the numbers of the open sessions
sessions() {
    ls /sys/class/iscsi_session | sed s/session//
}

# argument NAME: print an argument from the kernel command line of the guest
argument() {
    tr ' ' '\n' </proc/cmdline | sed -n "s/^guest\.$1=//p"
}
