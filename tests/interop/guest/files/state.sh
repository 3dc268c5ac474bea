# Prints the state of a guest whose script has not ended: kernel log, processes, connections, sessions and disks.
# It must not fail or wait for a disk. The loop reads no command line, because that could wait for the memory of a stuck
# process. `ps` reads command lines, so it comes after the loop.
set +eu

echo "state of the guest after $(cut -d ' ' -f 1 /proc/uptime) s:"
for process in /proc/[0-9]*; do
    words=$(cat "$process/stat" 2>/dev/null) || continue
    name=${words#*(} name=${name%)*}
    rest=${words##*) }
    [ "${rest%% *}" = D ] || continue
    echo "process ${process#/proc/} ($name) waits in $(cat "$process/wchan" 2>/dev/null)"
    cat "$process/stack" 2>/dev/null
done
ps -o pid,stat,args 2>/dev/null | grep -v '\[.*\]$'
echo "TCP connections (state 01 is established; then the unsent and unread bytes):"
cat /proc/net/tcp
for file in /sys/class/iscsi_session/*/state /sys/class/iscsi_connection/*/state; do
    [ ! -f "$file" ] || echo "${file#/sys/class/} $(cat "$file")"
done
for disk in /sys/block/sd*; do
    [ ! -d "$disk" ] || echo "${disk##*/}: $(cat "$disk/device/state"), requests under way:" $(cat "$disk/inflight")
done
gateway=$(tr ' ' '\n' </proc/cmdline | sed -n 's/^guest\.gateway=//p')
grep : /proc/net/dev
ping -c 2 -W 1 "$gateway" 2>&1 | tail -n 2
grep -v '  0  ' /proc/interrupts
dmesg | tail -n 40
