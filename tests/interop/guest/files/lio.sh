# The target of the guest's own kernel (LIO) as a second array. It shows scenarios that pass only with our array.
# lio BLOCK_BYTES...: makes a LUN of 64 MiB for each argument; sets $portal and $target. Does nothing if LIO is set up already.

lio() {
    core=/sys/kernel/config/target/core/fileio_0
    fabric=/sys/kernel/config/target/iscsi
    target=iqn.2003-01.org.linux-iscsi:witness
    portal=$(argument address | cut -d/ -f1):3260
    [ ! -d "$fabric/$target" ] || return 0
    module target_core_mod
    module target_core_file
    module iscsi_target_mod
    [ -d /sys/kernel/config/target ] || mount -t configfs configfs /sys/kernel/config
    # LIO keeps reservations under the serial number of the disk, in a folder that must exist.
    mkdir -p /witness /var/target/pr "$core" "$fabric"
    mount -t tmpfs tmpfs /witness # a file system that can give blocks back
    group=$fabric/$target/tpgt_1
    mkdir -p "$group/np/$portal"
    number=0
    for block_bytes; do
        truncate -s 64M /witness/$number
        mkdir "$core/$number"
        echo "fd_dev_name=/witness/$number,fd_dev_size=67108864,fd_buffered_io=1" >"$core/$number/control"
        echo 1 >"$core/$number/enable"
        echo "witness-$number" >"$core/$number/wwn/vpd_unit_serial"
        echo "$block_bytes" >"$core/$number/attrib/block_size"
        echo 1 >"$core/$number/attrib/emulate_tpu"
        echo 1 >"$core/$number/attrib/emulate_tpws"
        mkdir "$group/lun/lun_$number"
        ln -s "$core/$number" "$group/lun/lun_$number/storage"
        number=$((number + 1))
    done
    for setting in authentication=0 generate_node_acls=1 cache_dynamic_acls=1 demo_mode_write_protect=0; do
        echo "${setting#*=}" >"$group/attrib/${setting%=*}"
    done
    echo 1 >"$group/enable"
}

# lio_chap USER SECRET TARGET_USER TARGET_SECRET: require CHAP from all initiators from now on
lio_chap() {
    group=/sys/kernel/config/target/iscsi/$target/tpgt_1
    # LIO keeps the text exactly as written, so there must be no newline.
    printf %s "$1" >"$group/auth/userid"
    printf %s "$2" >"$group/auth/password"
    printf %s "$3" >"$group/auth/userid_mutual"
    printf %s "$4" >"$group/auth/password_mutual"
    echo 1 >"$group/attrib/authentication"
}
