#!/bin/sh
# As root, installs the missing packages of its arguments, or of the interoperability tests if there are no arguments.
# Otherwise prints the missing packages, which is a failure in CI (CI=true). Prints nothing if no package is missing.
set -u
packages=${*:-libiscsi-bin qemu-utils qemu-block-extra sg3-utils tshark cpio}

missing() {
    for package in $packages; do
        case $(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null) in
            installed) ;;
            *) printf '%s ' "$package" ;;
        esac
    done
}

wanted=$(missing)
[ -z "$wanted" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing $wanted"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of words
    { apt-get update && apt-get install --yes --no-install-recommends $wanted; } >/dev/null 2>&1
    wanted=$(missing)
    [ -z "$wanted" ] && exit 0
fi
echo "left out, not installed: $wanted(Debian: apt-get install $wanted)" >&2
[ "${CI:-}" != true ]
