#!/bin/sh
# Sets up what the tests use besides cargo: real registries and other clients to compare with. What can't be had is
# named, and the tests that need it are left out, except where CI=true: there its absence is a failure of those tests.
set -eu
cd "$(dirname "$0")/.."

tools=$PWD/target/tools
crane=v0.22.1
PATH=$tools/bin:$PATH

have() {
    command -v "$1" >/dev/null 2>&1
}

# as_root COMMAND...: as it is for root, by sudo where that asks no password.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

# quietly COMMAND...: its output is shown only if it fails.
quietly() {
    if ! said=$("$@" </dev/null 2>&1); then
        printf '%s\n' "$said" | tail -n 5 >&2
        return 1
    fi
}

install_packages() {
    have apt-get && as_root true || return 1
    echo "setup: installing $*"
    quietly as_root apt-get update || return 1
    quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

set --
have docker-registry || set -- "$@" docker-registry
have skopeo || set -- "$@" skopeo
if [ $# -gt 0 ] && install_packages "$@"; then
    # The package also starts a registry on port 5000, which nobody asked for. The tests start their own.
    if [ "$1" = docker-registry ] && [ -d /run/systemd/system ]; then
        quietly as_root systemctl disable --now docker-registry || true
    fi
fi

if ! have crane && have go; then
    echo "setup: installing crane $crane into target/tools"
    quietly env GOBIN="$tools/bin" GOFLAGS=-buildvcs=false \
        go install "github.com/google/go-containerregistry/cmd/crane@$crane" || true
fi

left_out() {
    echo "setup: $1 is not here: $2" >&2
}
have docker-registry || left_out docker-registry "left out are the tests against the distribution registry; the same tests run against the registry inside imgstep"
have skopeo || left_out skopeo "left out are the comparisons with skopeo"
have crane || left_out crane "left out are the comparisons with crane (Go installs it)"
have go || left_out go "left out is the conformance suite of the OCI distribution spec"
