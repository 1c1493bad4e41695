#!/bin/sh
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# dom0.sh HOME COMMAND… runs a command as on dom0: in a mount namespace in which /sys and /proc are
# the real ones, but those of a Xen host, and with the stand-ins in HOME: bin/xl, the socket
# xenstored, and in run those of QEMU.
set -eu
if [ "${1:-}" != --inside ]; then
    exec unshare --mount --propagation private "$0" --inside "$@"
fi
home=$2
shift 2

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
# The processes that exist now, so that their open files are found.
ln -s "$home"/root/real_proc/[0-9]* "$home/root/proc/"
if [ -d "$home/run" ]; then
    mkdir -p /run/xen
    mount --bind "$home/run" /run/xen
fi
mount --rbind "$home/root/sys" /sys
mount --bind "$home/root/proc" /proc

# If this is a Xen host, the real xenstored is not used.
PATH=$home/bin:$PATH FAKE_XEN=$home XENSTORED_PATH=$home/xenstored exec "$@"
