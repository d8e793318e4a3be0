#!/bin/sh
# The image's digest and the archives' checksums, where users of a release find them:
#
#     pins.sh write STAGE     writes them into github-action/checksums.txt and tasks/, from what assets.sh and image.sh left
#     pins.sh check [STAGE]   that all of them agree: with one another and with the version, and with STAGE
#
# A commit is either a complete release or not one: a commit with only some of the pins fails the check. It works in the
# folder $TREE, by default this repository.
set -eu
cd "$(dirname "$0")/../.."
. scripts/release/names.sh
cd "${TREE:-.}"
what=$1 stage=${2-}
case $stage in
'' | /*) ;;
*) stage=$OLDPWD/$stage ;;
esac
checksums=github-action/checksums.txt
pin=tasks/IMAGE
unreleased=sha256:0000000000000000000000000000000000000000000000000000000000000000

# Only the lines of archives, which is what the action downloads.
archives() {
    grep -E '^[0-9a-f]{64}  imgstep-.*[.]tar[.]gz$' "$1" || true
}

write() {
    digest=$(cat "$stage/image.digest")
    if [ -f "$checksums" ]; then
        { grep '^#' "$checksums" || true; archives "$stage/assets/checksums.txt"; } >"$checksums.new"
        mv "$checksums.new" "$checksums"
    fi
    [ -f "$pin" ] || return 0
    echo "$image:v$version@$digest" >"$pin"
    # The generator writes the same from tasks/IMAGE and Cargo.toml; the tests run its own check.
    find tasks -type f -name '*.y*ml' | while read -r file; do
        sed -E -e "s#$image:v[0-9][^@ ]*@sha256:[0-9a-f]{64}#$image:v$version@$digest#g" "$file" >"$file.new"
        if cmp -s "$file" "$file.new"; then rm "$file.new"; else mv "$file.new" "$file"; fi
    done
}

check() {
    wrong=
    # say TEXT: prints a mismatch.
    say() {
        echo "pins.sh: $*" >&2
        wrong=yes
    }
    released=
    if [ -f "$checksums" ] && [ -n "$(archives "$checksums")" ]; then
        released="$checksums"
        for name in $(archives "$checksums" | cut -d ' ' -f 3); do
            case $name in
            "imgstep-$version-"*) ;;
            *) say "$checksums names $name, and Cargo.toml the version $version" ;;
            esac
        done
        if [ -n "$stage" ] && [ "$(archives "$checksums")" != "$(archives "$stage/assets/checksums.txt")" ]; then
            say "$checksums has other sums than $stage/assets/checksums.txt"
        fi
    fi
    if [ -f "$pin" ]; then
        pinned=$(cat "$pin")
        case $pinned in
        *@"$unreleased") [ -z "$released" ] || say "$released is that of a release, and $pin names none" ;;
        "$image:v$version@sha256:"*)
            [ -n "$released" ] || [ ! -f "$checksums" ] || say "$pin names a release, and $checksums none"
            ;;
        *) say "$pin names $pinned, and Cargo.toml the version $version" ;;
        esac
        if [ -n "$stage" ] && [ "${pinned##*@}" != "$(cat "$stage/image.digest")" ]; then
            say "$pin names ${pinned##*@}, and the image is $(cat "$stage/image.digest")"
        fi
        others=$(grep -rhoE --include='*.y*ml' "$image:v[0-9][^ ]*@sha256:[0-9a-f]{64}" tasks | sort -u | grep -vxF "$pinned" || true)
        [ -z "$others" ] || say "tasks/ names $others, and $pin $pinned"
        labels=$(grep -rhE --include='*.y*ml' '^ +app[.]kubernetes[.]io/version:' tasks | sed 's/.*: *//' | tr -d '"' | sort -u)
        [ -z "$labels" ] || [ "$labels" = "$version" ] || say "tasks/ has the labels $labels, and Cargo.toml the version $version"
    fi
    [ -z "$wrong" ] || exit 1
}

case $what in
write) write ;;
check) check ;;
*) fail "write or check" ;;
esac
