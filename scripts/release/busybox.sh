#!/bin/sh
# busybox.sh ARCH FOLDER: puts the static busybox of Debian (or Ubuntu) for amd64 or arm64, and its licence, into
# FOLDER. It is unpacked, not installed; if this machine's sources have no packages for ARCH, run it on a machine with
# that architecture.
set -eu
cd "$(dirname "$0")/../.."
arch=$1 folder=$2
work=${WORK:-target/release-work}

rm -rf "$work/busybox-$arch"
WORK=$work/packages sh examples/base/packages.sh "$arch" "$work/busybox-$arch" '!busybox-static' busybox-static >&2
mkdir -p "$folder"
# Newer packages have it below usr.
for found in "$work/busybox-$arch/bin/busybox" "$work/busybox-$arch/usr/bin/busybox"; do
    [ ! -f "$found" ] || cp "$found" "$folder/busybox"
done
cp "$work/busybox-$arch/usr/share/doc/busybox-static/copyright" "$folder/busybox.copyright"
echo "$folder/busybox: $(wc -c <"$folder/busybox") bytes" >&2
