#!/bin/sh
# Builds a base image for the examples from Debian's packages, for linux/amd64 and linux/arm64, without Docker:
#
#     sh image.sh static|python|node|java|deno DESTINATION
#
# Like the distroless images, it has a runtime and the libraries it links to, certificates, time zones, a user `nonroot`
# (65532), and no shell. If this machine's sources only have packages for its own architecture, so does the base.
# $IMGSTEP names another binary, $WORK a working folder other than `out`.
set -eu
cd "$(dirname "$0")"
name=$1 to=$2
imgstep() { command "${IMGSTEP:-imgstep}" "$@"; }
umask 022
export WORK="${WORK:-out}"
own=$(dpkg --print-architecture)
tree=$WORK/$name
rm -rf "$tree"
mkdir -p "$tree"

# unpack ARCHITECTURE FOLDER PACKAGE...: unpacks them with their dependencies, except packages that only their scripts
# or a shell need.
unpack() {
    architecture=$1 folder=$2
    shift 2
    sh packages.sh "$architecture" "$folder" "$without" "$@"
    rm -rf "$folder/usr/share/doc" "$folder/usr/share/man" "$folder/usr/share/lintian" "$folder/usr/share/bug"
}

# The part that is the same for every architecture.
common() {
    without='debconf.*|cdebconf|openssl|lib.*|gcc.*|zlib1g'
    unpack "$own" "$tree/certificates" ca-certificates tzdata
    mkdir -p "$tree/common/etc/ssl/certs" "$tree/common/usr/share" "$tree/common/home/nonroot" "$tree/common/tmp"
    find "$tree/certificates/usr/share/ca-certificates" -name '*.crt' | LC_ALL=C sort |
        xargs cat >"$tree/common/etc/ssl/certs/ca-certificates.crt"
    mv "$tree/certificates/usr/share/zoneinfo" "$tree/common/usr/share/"
    cat >"$tree/common/etc/passwd" <<END
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
END
    cat >"$tree/common/etc/group" <<END
root:x:0:
nogroup:x:65534:
nonroot:x:65532:
END
    echo 'hosts: files dns' >"$tree/common/etc/nsswitch.conf"
    chmod 1777 "$tree/common/tmp"
}

# runtime ARCHITECTURE FOLDER
runtime() {
    case $name in
    python)
        without='dpkg|tar|gcc.*|libmd0|libpcre2.*|libselinux1|libacl1|libdb5.*|libgssapi.*|libk.*|libcom.err.*'
        without="$without|libtirpc.*|libnsl2|readline-common"
        unpack "$1" "$2" python3
        ;;
    node)
        without='gcc.*'
        unpack "$1" "$2" nodejs
        ;;
    java)
        # A server doesn't draw: of the package's dependencies, libjvm only links to these.
        without='!openjdk-.*-jre-headless|libc6|libgcc-s1|libstdc[+][+]6|zlib1g'
        unpack "$1" "$2" default-jre-headless
        mkdir -p "$2/usr/bin"
        ln -s "/$(cd "$2" && find usr/lib/jvm -path '*/bin/java' -type f)" "$2/usr/bin/java"
        ;;
    deno)
        # Debian doesn't package Deno; npm has its binaries, which link to these.
        without='gcc.*'
        unpack "$1" "$2" libc6 libgcc-s1
        case $1 in
        amd64) package=@deno/linux-x64-glibc ;;
        arm64) package=@deno/linux-arm64-glibc ;;
        esac
        archive=$(npm pack --silent --pack-destination "$tree" "$package@2.9.6")
        mkdir -p "$2/usr/bin"
        tar -xzf "$tree/$archive" -C "$2/usr/bin" --strip-components=1 package/deno
        ;;
    esac
}

common
set -- "$tree/common,mode=keep"
platforms=
for architecture in amd64 arm64; do
    if [ "$name" != static ]; then
        # Not `if runtime`: that would ignore failing commands in runtime.
        set +e
        (set -e && runtime "$architecture" "$tree/$architecture")
        status=$?
        set -e
        if [ "$status" != 0 ]; then
            [ "$architecture" != "$own" ] || exit 1
            echo "image.sh: no packages for $architecture: the base is without it" >&2
            continue
        fi
        set -- "$@" "$tree/$architecture,platform=linux/$architecture"
    fi
    platforms="$platforms linux/$architecture"
done

# The image is for trying out, so fast comes before small.
# shellcheck disable=SC2086 # two words at most
imgstep append scratch --to "$to" --platform $platforms --layer "$@" --compression gzip:1 \
    --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
rm -rf "$tree"
