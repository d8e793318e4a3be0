#!/bin/sh
# The tools that the release needs in addition to Rust: pinned versions, built into target/tools.
set -eu
cd "$(dirname "$0")/../.."
auditable=0.7.7
cyclonedx=0.5.9

# install CRATE VERSION: without optimization, which takes a third of the time.
install() {
    if [ ! -x "target/tools/bin/$1" ] || ! grep -q "\"$1 $2 " target/tools/.crates2.json 2>/dev/null; then
        echo "release: installing $1 $2 into target/tools" >&2
        CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_DEV_OPT_LEVEL=0 \
            cargo install --quiet --locked --debug --version "$2" --root target/tools "$1"
    fi
}
install cargo-auditable "$auditable"
install cargo-cyclonedx "$cyclonedx"
