"""`odx-target esxi-copy`: copy a virtual disk with the same commands as ESXi."""
