#!/bin/sh
# launch_uml.sh INTERFACE ADDRESS LOCK PROGRAM ARGUMENT...
# Runs a program that uses a network interface made for it, in a PID namespace of its own, so that with this shell the
# program, what it started and the interface go away. Ends with 75 if another launcher has the lock of the interface, with 76 if
# there cannot be one, and says why.
interface=$1
address=$2
lock=$3
shift 3
child=
clean() {
    trap '' TERM INT HUP
    [ -n "$child" ] && kill -KILL "$child" 2>/dev/null && wait "$child" 2>/dev/null
    ip link delete "$interface" 2>/dev/null
}
# what has it open is alive, be it only the program of a launcher that was killed
command exec 9>"$lock" || exit 76
flock --nonblock 9 || exit 75
trap clean EXIT
trap 'exit 143' TERM INT HUP
ip link delete "$interface" 2>/dev/null # of a launcher that was killed
ip tuntap add dev "$interface" mode tap || exit 76
ip address add "$address" dev "$interface" || exit 76
ip link set "$interface" up || exit 76
echo 1 >"/proc/sys/net/ipv4/conf/$interface/route_localnet" || exit 76
exec 3<&0 # what runs in the background has no other standard input
setpriv --pdeathsig KILL unshare --pid --fork --kill-child "$@" <&3 3<&- &
child=$!
wait "$child"
