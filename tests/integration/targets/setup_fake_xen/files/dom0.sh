#!/bin/sh
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# dom0.sh HOME COMMAND… runs a command as on dom0: in a mount namespace of its own, where /sys and
# /proc are the real ones but say that this is Xen, with the stand-ins of HOME/bin for its tools.
set -eu
if [ "${1:-}" != --inside ]; then
    # The root of a chroot is no mount of its own, which could be made private.
    unshare --mount true 2>/dev/null && propagation=private || propagation=unchanged
    exec unshare --mount --propagation "$propagation" "$0" --inside "$@"
fi
home=$2
shift 2
# Nothing that is mounted here shows outside, also in a chroot.
while read -r _ _ _ _ place _; do
    mount --make-private "$place" 2>/dev/null || true
done </proc/self/mountinfo

mount -t tmpfs fake_xen "$home/root"
mkdir "$home/root/sys" "$home/root/proc" "$home/root/real_proc"
for entry in /sys/*; do
    mkdir "$home/root/$entry"
    mount --rbind "$entry" "$home/root/$entry"
done
mkdir -p "$home/root/sys/hypervisor" "$home/root/proc/xen"
echo xen >"$home/root/sys/hypervisor/type"
echo control_d >"$home/root/proc/xen/capabilities"
mount --rbind /proc "$home/root/real_proc"
for entry in /proc/[!0-9]*; do
    [ "$entry" = /proc/xen ] || ln -s "$home/root/real_proc/${entry#/proc/}" "$home/root/$entry"
done
mount --rbind "$home/root/sys" /sys
mount --bind "$home/root/proc" /proc

# A real xenstored is not asked, should this be a Xen host.
PATH=$home/bin:$PATH FAKE_XEN=$home XENSTORED_PATH=$home/none exec "$@"
