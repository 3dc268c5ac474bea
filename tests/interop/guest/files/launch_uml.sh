#!/bin/sh
# launch_uml.sh INTERFACE ADDRESS PROGRAM ARGUMENT...
# Runs a program that uses a network interface made for it, in a PID namespace of its own, so that with this shell the
# program, what it started and the interface go away. Ends with 75 if the interface exists already.
interface=$1
address=$2
shift 2
ip tuntap add dev "$interface" mode tap 2>/dev/null || exit 75
child=
clean() {
    trap '' TERM INT HUP
    [ -n "$child" ] && kill -KILL "$child" 2>/dev/null && wait "$child" 2>/dev/null
    ip link delete "$interface"
}
trap clean EXIT
trap 'exit 143' TERM INT HUP
ip address add "$address" dev "$interface" || exit 76
ip link set "$interface" up || exit 76
echo 1 >"/proc/sys/net/ipv4/conf/$interface/route_localnet" || exit 76
exec 3<&0 # what runs in the background has no other standard input
unshare --pid --fork --kill-child "$@" <&3 3<&- &
child=$!
wait "$child"
