# Cleans a guest for the next scenario: ends processes, unmounts file systems, and logs out of all sessions.
own=$(tr '\0' ' ' <"/proc/$$/cmdline")
# end what a scenario left running, until there is none; threads of the kernel and what has just ended have no command line
end_others() {
    others=0
    for process in /proc/[0-9]*; do
        words=$(tr '\0' ' ' 2>/dev/null <"$process/cmdline") || continue
        case $words in
            ""|"$own"|"/bin/sh /init "|"iscsid "*|"ntfs-3g "*) ;;
            *) others=1; kill -KILL "${process#/proc/}" || true ;;
        esac
    done
    [ $others = 0 ]
} 2>/dev/null
within 5 end_others
for folder in $(cut -d ' ' -f 2 /proc/mounts | grep '^/mnt/' | sort -r); do umount "$folder"; done
[ ! -e /dev/mapper/control ] || dmsetup remove_all
[ -z "$(ls /sys/class/iscsi_session 2>/dev/null)" ] || iscsiadm -m node --logoutall=all
rm -rf /etc/iscsi/nodes/* /etc/iscsi/send_targets/* /etc/iscsi/ifaces/second /mnt/* /tmp/*
[ -z "$(ls /sys/class/iscsi_session 2>/dev/null)" ]
