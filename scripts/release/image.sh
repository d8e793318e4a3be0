#!/bin/sh
# image.sh STAGE REPOSITORY: builds the image from STAGE/binaries/linux-*, with the program to be released, and pushes
# it to REPOSITORY under tags that end in -candidate. $IMGSTEP names the program. Its digest is written to
# STAGE/image.digest, that of the image with a shell to STAGE/image-shell.digest.
set -eu
cd "$(dirname "$0")/../.."
. scripts/release/names.sh
stage=$1 to=$2
imgstep() { "${IMGSTEP:-imgstep}" "$@"; }

description='Container image steps for CI as pure registry operations: promote, append, index, with no daemon, no root and no disk.'
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)

# The image's labels and annotations.
said() {
    for word in "title=imgstep" "description=$description" "licenses=Apache-2.0" "vendor=imgstep" "version=$version" \
        "revision=$revision" "source=$repository" "url=$repository" "documentation=$repository#readme" \
        "created=$created"; do
        echo "org.opencontainers.image.$word"
    done
}

# One image for each platform, from scratch: the program, and the authorities that it trusts.
set --
for platform in amd64 arm64; do
    folder=$stage/binaries/linux-$platform
    if [ ! -f "$folder/imgstep" ]; then
        echo "image.sh: left out linux/$platform: no $folder/imgstep" >&2
        continue
    fi
    chmod 755 "$folder/imgstep"
    IMGSTEP_LABEL=$(said) IMGSTEP_ANNOTATION=$(said) imgstep append scratch --to "$to:v$version-$platform-candidate" \
        --platform "linux/$platform" --layer "$stage/ca-certificates.crt=/etc/ssl/certs/ca-certificates.crt" \
        "$folder/imgstep=/imgstep,mode=0755" --user 65532:65532 --entrypoint '["/imgstep"]' --created "$created" \
        --result "ref=$stage/$platform.ref"
    set -- "$@" "$(cat "$stage/$platform.ref")"
done
[ $# -gt 0 ] || fail "no program for Linux below $stage/binaries"
IMGSTEP_ANNOTATION=$(said) imgstep index "$@" --to "$to:v$version-candidate" --result "digest=$stage/image.digest" \
    "ref=$stage/image.ref"

# The same with a shell, for systems that run each job in one. The shell's bytes don't depend on its path. Its files
# belong to root, because those systems' workspaces do.
set -- "$stage/shell=/"
rm -rf "$stage/shell"
mkdir -p "$stage/shell/bin" "$stage/shell/tmp" "$stage/shell/usr/bin" "$stage/shell/usr/share/doc/busybox"
chmod 1777 "$stage/shell/tmp"
ln -s /imgstep "$stage/shell/bin/imgstep"
ln -s ../../bin/env "$stage/shell/usr/bin/env"
for applet in ash awk base64 basename cat chmod cp cut date dirname echo env expr false find grep gunzip gzip head id \
    ls mkdir mktemp mv printenv printf pwd readlink rm sed sh sha256sum sleep sort stat tail tar tee test touch tr true \
    uname uniq wc which xargs; do
    ln -s busybox "$stage/shell/bin/$applet"
done
for platform in amd64 arm64; do
    folder=$stage/binaries/linux-$platform
    if [ -f "$folder/imgstep" ]; then
        [ -f "$folder/busybox" ] || fail "no $folder/busybox: busybox.sh unpacks it"
        chmod 755 "$folder/busybox"
        cp "$folder/busybox.copyright" "$stage/shell/usr/share/doc/busybox/copyright"
        set -- "$@" "$folder/busybox=/bin/busybox,platform=linux/$platform,mode=0755"
    fi
done
imgstep append "$(cat "$stage/image.ref")" --to "$to:v$version-shell-candidate" --layer "$@" --user 0:0 \
    --env PATH=/usr/local/bin:/usr/bin:/bin --workdir / --entrypoint '[]' --cmd '["/bin/sh"]' \
    --unset-annotation org.opencontainers.image.base.name \
    --result "digest=$stage/image-shell.digest" "ref=$stage/image-shell.ref"
