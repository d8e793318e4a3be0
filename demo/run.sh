#!/bin/sh
# The main job in one minute: an image for two platforms goes from a folder to a registry, and from there to another.
# Takes nothing but this repository, a shell, tar and sha256sum; no network, no root, no daemon.
set -eu
cd "$(dirname "$0")/.."
imgstep=$PWD/dist/imgstep

# `registry serve -- COMMAND` serves while COMMAND runs and says where in IMGSTEP_REGISTRY. Nested, that is two
# registries, which end with this script however it ends.
if [ -z "${DEMO_STAGING-}" ]; then
    [ -x "$imgstep" ] || { echo "dist/imgstep is not there: run 'make build' first" >&2; exit 1; }
    # The inner shell expands these.
    # shellcheck disable=SC2016
    exec "$imgstep" registry serve -- \
        sh -c 'DEMO_STAGING=$IMGSTEP_REGISTRY exec "$0" registry serve -- sh "$1"' "$imgstep" "$PWD/demo/run.sh"
fi
staging=$DEMO_STAGING
production=$IMGSTEP_REGISTRY

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

heading() {
    printf '\n\033[1m%s\033[0m\n' "$*"
}
[ -t 1 ] || heading() { printf '\n# %s\n' "$*"; }

# Shows a command as one would type it, then runs it. On stderr, so that the answer can be caught from stdout.
run() {
    shown=
    for word in "$@"; do shown="$shown $word"; done
    printf '$%s\n' "$shown" | sed "s|$imgstep|imgstep|g; s|$work/||g" >&2
    "$@"
}

fail() {
    echo "demo: $*" >&2
    exit 1
}

# --- An OCI image layout by hand: blobs named by their SHA-256, and JSON that points at them. -----------------------

blobs=$work/hello/blobs/sha256

sha256() {
    if command -v sha256sum >/dev/null 2>&1; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1
}

# Keeps stdin as a blob and prints the descriptor of it: media type $1, and $2 for further fields.
blob() {
    cat >"$blobs/new"
    hex=$(sha256 <"$blobs/new")
    size=$(($(wc -c <"$blobs/new")))
    mv "$blobs/new" "$blobs/$hex"
    printf '{"mediaType":"application/vnd.oci.image.%s","digest":"sha256:%s","size":%s%s}' "$1" "$hex" "$size" "${2-}"
}

# The files of folder $1 as a layer whose bytes are the same on every machine: order, times and owners are given.
layer() {
    case $(tar --version) in
    *GNU*) owner='--owner=0 --group=0 --numeric-owner' ;;
    *) owner='--uid 0 --gid 0 --numeric-owner' ;;
    esac
    (
        cd "$1"
        find . -exec env TZ=UTC0 touch -t 202001010000 {} +
        # shellcheck disable=SC2046,SC2086 # several words each, none of them with a space
        tar -c -f - --format=ustar $owner $(find . -type f | LC_ALL=C sort) | blob layer.v1.tar
    )
}

# digest_of DESCRIPTOR
digest_of() {
    echo "$1" | sed 's/.*"digest":"\([^"]*\)".*/\1/'
}

layout() {
    umask 022
    mkdir -p "$blobs" "$work/common/etc"
    echo 'Hello from any platform' >"$work/common/etc/motd"
    common=$(layer "$work/common")
    manifests=
    for arch in amd64 arm64; do
        mkdir -p "$work/$arch/usr/bin"
        printf '#!/bin/sh\necho "Hello from linux/%s"\n' "$arch" >"$work/$arch/usr/bin/hello"
        chmod 755 "$work/$arch/usr/bin/hello"
        own=$(layer "$work/$arch")
        config=$(
            printf '{"architecture":"%s","os":"linux","config":{"Entrypoint":["/usr/bin/hello"]},' "$arch"
            # An uncompressed layer's diff_id is its digest.
            printf '"rootfs":{"type":"layers","diff_ids":["%s","%s"]}}' "$(digest_of "$common")" "$(digest_of "$own")"
        )
        config=$(printf '%s' "$config" | blob config.v1+json)
        manifest=$(
            printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json",'
            printf '"config":%s,"layers":[%s,%s]}' "$config" "$common" "$own"
        )
        platform=',"platform":{"architecture":"'$arch'","os":"linux"}'
        manifest=$(printf '%s' "$manifest" | blob manifest.v1+json "$platform")
        manifests=$manifests${manifests:+,}$manifest
    done
    index='{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":['$manifests']}'
    name=',"annotations":{"org.opencontainers.image.ref.name":"1.0"}'
    index=$(printf '%s' "$index" | blob index.v1+json "$name")
    printf '{"schemaVersion":2,"manifests":[%s]}' "$index" >"$work/hello/index.json"
    printf '{"imageLayoutVersion":"1.0.0"}' >"$work/hello/oci-layout"
    digest_of "$index"
}

# --- The job. -------------------------------------------------------------------------------------------------------

heading "An image for linux/amd64 and linux/arm64, in a folder"
digest=$(layout)
echo "hello: $digest, $(find "$blobs" -type f | wc -l | tr -d ' ') blobs"

heading "From the folder to the staging registry ($staging)"
run "$imgstep" promote "oci:$work/hello:1.0" "$staging/hello:1.0"

heading "From staging to production ($production), under three tags, the digest as a result"
first=$(run "$imgstep" promote "$staging/hello:1.0" "$production/team/hello:1.0" --tags 1 latest \
    --result "digest=$work/digest")
echo "$first"
echo "the file digest holds: $(cat "$work/digest")"

heading "The same again: nothing to send"
report=$(run "$imgstep" promote "$staging/hello:1.0" "$production/team/hello:1.0" --tags 1 latest --output json)
case $report in
*'"state":"unchanged"'*) ;;
*) fail "the second run found something to write: $report" ;;
esac
echo "$report" | sed -n 's/.*"totals":{\([^}]*\)}.*/\1/p'
case $report in
*'"sentBytes":0'*) ;;
*) fail "the second run sent bytes: $report" ;;
esac

heading "What is there now"
run "$imgstep" inspect "$production/team/hello:latest"

heading "Byte for byte"
for tag in 1.0 1 latest; do
    there=$("$imgstep" digest "$production/team/hello:$tag")
    echo "team/hello:$tag is $there"
    [ "$there" = "$digest" ] || fail "team/hello:$tag should be $digest"
done
[ "$(cat "$work/digest")" = "$digest" ] || fail "the result file should hold $digest"
[ "$first" = "$production/team/hello@$digest" ] || fail "the answer should be $production/team/hello@$digest"
echo "The same digest in the folder, at production, and in the result."
