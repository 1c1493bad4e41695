#!/usr/bin/env bash
# SPDX-FileCopyrightText: 2026 The xen.blockdev authors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Images, loop devices and a config as a shell script makes them: by_hand.sh FOLDER NUMBER BYTES.
# What is there already it leaves alone.
set -euo pipefail
folder=$1 number=$2 bytes=$3

mkdir -p "$folder"
disks=()
for ((index = 0; index < number; index++)); do
    image=$folder/d$index.raw
    [[ -e $image ]] || truncate --size "$bytes" "$image"
    device=$(losetup --associated "$image" --noheadings --output NAME)
    [[ $device ]] || device=$(losetup --find --show "$image")
    disks+=("'$device,raw,$((268435456 + index * 256)),rw'")
done
(IFS=, && printf "name = 'bench'\nmemory = 32\ndisk = [%s]\n" "${disks[*]}") >"$folder/bench.cfg.new"
mv "$folder/bench.cfg.new" "$folder/bench.cfg"
