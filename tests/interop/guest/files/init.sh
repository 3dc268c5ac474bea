#!/bin/sh
# The guest's first program. It sets up file systems, modules and network, and then runs the jobs that the console requests.
#
# A line "run NUMBER" starts /share/NUMBER/script. The output goes to /share/NUMBER/output. At the end of the job the console
# prints "guest: ended NUMBER STATUS". Several jobs may run at once. A line "alive NUMBER" is answered with "guest: alive NUMBER".
PATH=/bin
export PATH
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev || echo "guest: no devtmpfs"
/bin/busybox mkdir -p /busybox && /bin/busybox --install -s /busybox
PATH=/bin:/busybox
stty -echo
ln -sf /proc/self/fd /dev/fd
mkdir -p /dev/shm /dev/pts
mount -t tmpfs tmpfs /dev/shm

while read -r module; do
    insmod "/lib/modules/$module.ko" 2>/tmp/insmod || grep -q 'File exists\|No such device' /tmp/insmod || cat /tmp/insmod
done </lib/modules/early

argument() {
    tr ' ' '\n' </proc/cmdline | sed -n "s/^guest\.$1=//p"
}

interface=$(argument interface)
address=$(argument address)
gateway=$(argument gateway)
# The address 127.0.0.1 in the guest reaches the host, so that the guest can use the addresses that a target reports.
ip link set lo up
ip address del 127.0.0.1/8 dev lo
ip address add "$address" dev "$interface"
ip link set "$interface" up
echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
echo 1 >"/proc/sys/net/ipv4/conf/$interface/route_localnet"
ip route add 127.0.0.1/32 via "$gateway" dev "$interface" src "${address%/*}"

# shellcheck disable=SC2046 # two words: type and source
case $(argument share) in
    9p) mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share /share ;;
    *) mount -t hostfs -o "$(argument share)" none /share ;;
esac
grep -q ' /share ' /proc/mounts || { echo "guest: no /share"; exit 1; } # the kernel panics, which is seen at once

echo "InitiatorName=iqn.2026-11.example:$(argument name)" >/etc/iscsi/initiatorname.iscsi
iscsid >/tmp/iscsid 2>&1

run() {
    cd /
    sh "/share/$1/script" </dev/null >"/share/$1/output" 2>&1
    echo "guest: ended $1 $?" >/dev/console
}

echo "guest: ready"
while read -r word number; do
    case $word in
        run) run "$number" & ;;
        alive) echo "guest: alive $number" ;;
        off) break ;;
    esac
done
poweroff -f
