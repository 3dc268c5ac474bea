#!/bin/sh
# launch_uml.sh INTERFACE ADDRESS LOCK PROGRAM ARGUMENT...
# Makes a network interface, and runs a program with it in a new PID namespace. When this shell ends, the program, its child
# processes and the interface are removed. The exit status is 75 if another launcher has the lock of the interface, and 76 if the
# interface cannot be made; then it prints the reason.
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
# A process that has the file open is alive, even if it is only the program of a killed launcher.
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
