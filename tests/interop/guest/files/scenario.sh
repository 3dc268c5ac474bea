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
        [ -f "$file" ] && [ "${file##*/}" != uevent ] && value=$(cat "$file" 2>/dev/null) && echo "${file##*/} $value"
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
