#!/bin/sh
# dry-run.sh: the whole release except what needs GitHub's identity (signatures, provenance), against the registry in
# imgstep. The output is in target/release-stage; the tree isn't changed. See docs/releasing.md.
set -eu
cd "$(dirname "$0")/../.."
if [ "${1-}" != inside ]; then
    PATH=$PWD/target/tools/bin:$PATH
    export PATH
fi
. scripts/release/names.sh
stage=target/release-stage
begun=$(date +%s)

step() {
    echo
    echo "== $* ($(($(date +%s) - begun)) s)"
}

case $(uname -m) in
aarch64 | arm64) own=arm64 other=amd64 other_machine=x86_64 ;;
*) own=amd64 other=arm64 other_machine=aarch64 ;;
esac

# Debian's compiler, which tests/setup.sh unpacks for the other architecture's std. It needs Debian's std for this
# machine too, because procedural macros run in the compiler and must be built by it.
debian_rustc() {
    rust=$PWD/target/tools/rust
    [ -x "$rust/usr/bin/rustc" ] || return 1
    own_lib=$rust/usr/lib/rustlib/$(uname -m)-unknown-linux-gnu/lib
    if ! ls "$own_lib"/libstd-*.rlib >/dev/null 2>&1; then
        std=$(basename "$(echo "$rust"/usr/share/doc/libstd-rust*-dev)")
        WORK=target/tools/packages sh examples/base/packages.sh "$own" "$rust" '!libstd-rust-.*dev' "$std" >&2 || return 1
    fi
    cat >"$rust/rustc-for-all" <<END
#!/bin/sh
export LD_LIBRARY_PATH="$rust/usr/lib/$(uname -m)-linux-gnu:$rust/lib/$(uname -m)-linux-gnu"
exec "$rust/usr/bin/rustc" "\$@"
END
    chmod +x "$rust/rustc-for-all"
    echo "$rust/rustc-for-all"
}

# The program for the other architecture: with rustup's std, or with Debian's compiler.
build_other() {
    triple=$other_machine-unknown-linux-gnu
    rustc=rustc
    if ! ls "$(rustc --print target-libdir --target "$triple")"/libstd-*.rlib >/dev/null 2>&1; then
        rustc=$(debian_rustc) || return 1
    fi
    command -v "$other_machine-linux-gnu-gcc" >/dev/null || return 1
    upper=$(echo "$triple" | tr a-z- A-Z_)
    env RUSTC="$rustc" CARGO_TARGET_DIR=target/release-other CARGO="cargo auditable" TARGET="$triple" "CC_$(echo "$triple" | tr - _)=$other_machine-linux-gnu-gcc" \
        "CARGO_TARGET_${upper}_LINKER=$other_machine-linux-gnu-gcc" OUTPUT="$stage/binaries/linux-$other/imgstep" \
        sh scripts/build.sh
}

# Runs while the registry is up.
inside() {
    export IMGSTEP="$PWD/$stage/binaries/linux-$own/imgstep"
    to=$IMGSTEP_REGISTRY/org/imgstep
    unset IMGSTEP_REGISTRY # not an option of the steps that follow

    step "the image, by the program itself, twice"
    sh scripts/release/image.sh "$stage" "$to"
    first=$(cat "$stage/image.digest" "$stage/image-shell.digest")
    sh scripts/release/image.sh "$stage" "$to-again"
    [ "$first" = "$(cat "$stage/image.digest" "$stage/image-shell.digest")" ] || fail "the second image is another one"
    sed -i "s#$to-again#$to#" "$stage/image.ref" "$stage/image-shell.ref"

    step "digest and checksums into a copy of the tree"
    rm -rf "$stage/tree"
    mkdir -p "$stage/tree"
    for part in Cargo.toml tasks github-action; do
        [ ! -e "$part" ] || cp -R "$part" "$stage/tree"
    done
    TREE=$stage/tree sh scripts/release/pins.sh write "$stage"
    TREE=$stage/tree sh scripts/release/pins.sh check "$stage"

    step "names, and the bundle"
    TREE=$stage/tree sh scripts/release/publish.sh "$stage" "$to" "$to/tekton"
    TREE=$stage/tree sh scripts/release/publish.sh "$stage" "$to" "$to/tekton" # a release that is run again changes nothing

    step "what was released is what was made"
    for tag in "v$version" "$moving" "v$version-shell" "$moving-shell"; do
        "$IMGSTEP" inspect "$to:$tag" | head -n 2
    done
    "$IMGSTEP" promote "$to:v$version" "oci:$stage/layout:v$version" --platform "linux/$own"
    rm -rf "$stage/rootfs" && mkdir "$stage/rootfs"
    for blob in "$stage"/layout/blobs/sha256/*; do
        tar -xzf "$blob" -C "$stage/rootfs" 2>/dev/null || true
    done
    cmp "$stage/rootfs/imgstep" "$IMGSTEP"
    (cd / && env -i "$OLDPWD/$stage/rootfs/imgstep" --version)
    if command -v "qemu-$other_machine" >/dev/null && [ -f "$stage/binaries/linux-$other/imgstep" ]; then
        "qemu-$other_machine" "$stage/binaries/linux-$other/imgstep" --version
    else
        echo "left out: running the program for linux/$other (qemu-$other_machine runs it)"
    fi
    if [ -f "$stage/bundle.digest" ] && [ -x target/tools/tekton/readbundle ]; then
        target/tools/tekton/readbundle "$to/tekton:v$version" task imgstep-promote | grep -n "image: $image"
    else
        echo "left out: reading the bundle by Tekton's code (there are no tasks, or make test has not built it)"
    fi
    install
}

# The action's installer, with the release's archives.
install() {
    if [ ! -f "$stage/tree/github-action/install.sh" ] || ! command -v python3 >/dev/null; then
        echo "left out: the action's installer (github-action/install.sh and python3)"
        return
    fi
    mkdir -p "$stage/downloads"
    rm -rf "$stage/downloads/v$version"
    cp -R "$stage/assets" "$stage/downloads/v$version"
    python3 -u -m http.server --bind 127.0.0.1 --directory "$stage/downloads" 0 >"$stage/http.log" 2>&1 &
    server=$!
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$stage/http.log")
        [ -n "$port" ] && break
        sleep 0.5
    done
    status=0
    env -u IMGSTEP_BIN IMGSTEP_DOWNLOAD_URL="http://127.0.0.1:$port" RUNNER_TEMP="$PWD/$stage" \
        bash "$stage/tree/github-action/install.sh" || status=$?
    kill "$server"
    return "$status"
}

if [ "${1-}" = inside ]; then
    inside
    exit
fi

rm -rf "$stage"
mkdir -p "$stage"
step "tools"
sh scripts/release/tools.sh
step "the program for linux/$own"
CARGO="cargo auditable" OUTPUT="$stage/binaries/linux-$own/imgstep" sh scripts/build.sh
step "the same in another folder"
second=$(mktemp -d)
trap 'rm -rf "$second"' EXIT
git ls-files -z | tar --null --files-from=- -cf - | tar -xf - -C "$second"
(cd "$second" && unset CARGO_TARGET_DIR && CARGO="cargo auditable" sh scripts/build.sh)
cmp "$second/dist/imgstep" "$stage/binaries/linux-$own/imgstep" || fail "two builds gave different programs"
echo "both are $(sum "$second/dist/imgstep")"
step "the program for linux/$other"
build_other || echo "left out: linux/$other (it takes rustup's std or Debian's for $other_machine, from tests/setup.sh, and a linker)"
echo "left out: darwin (only a Mac links for it)"

step "certificate authorities and shells"
sh scripts/release/roots.sh "$stage/ca-certificates.crt"
for binary in "$stage"/binaries/linux-*; do
    sh scripts/release/busybox.sh "${binary##*linux-}" "$binary"
done
step "archives, bill of materials, checksums, twice"
sh scripts/release/assets.sh "$stage"
mv "$stage/assets/checksums.txt" "$stage/first.txt"
rm -r "$stage/assets"
sh scripts/release/assets.sh "$stage" >/dev/null
cmp "$stage/first.txt" "$stage/assets/checksums.txt" || fail "the second archives are others"

PROGRAM=$stage/binaries/linux-$own/imgstep
"$PROGRAM" registry serve -- sh scripts/release/dry-run.sh inside
echo
echo "left out: signatures and provenance, which take GitHub's word for who we are: .github/workflows/release.yml"
echo "done after $(($(date +%s) - begun)) s: $stage"
