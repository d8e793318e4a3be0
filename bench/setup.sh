#!/bin/sh
# Installs what the bench needs besides cargo: registries, a TLS server, compressors, and the other tools. It lists what
# can't be installed, and so does the report.
set -eu
cd "$(dirname "$0")/.."

tools=$PWD/target/tools
crane=v0.22.1
regctl=v0.11.5
oras=v1.3.6
PATH=$tools/bin:$PATH:/usr/sbin

have() {
    command -v "$1" >/dev/null 2>&1
}

# as_root COMMAND...: runs it as root, with sudo if that needs no password.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        return 1
    fi
}

# quietly COMMAND...: shows its output only if it fails.
quietly() {
    if ! said=$("$@" </dev/null 2>&1); then
        printf '%s\n' "$said" | tail -n 5 >&2
        return 1
    fi
}

install_packages() {
    have apt-get && as_root true || return 1
    echo "bench setup: installing $*"
    quietly as_root apt-get update || return 1
    quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# Packages with a server would start it, on ports that nobody asked for.
stop_services() {
    [ -d /run/systemd/system ] || return 0
    for service in docker-registry nginx; do
        quietly as_root systemctl disable --now "$service" || true
    done
}

set --
have docker-registry || set -- "$@" docker-registry
have skopeo || set -- "$@" skopeo
have nginx || set -- "$@" nginx-light
have openssl || set -- "$@" openssl
have pigz || set -- "$@" pigz
have zstd || set -- "$@" zstd
have libdeflate-gzip || set -- "$@" libdeflate-tools
[ -x /usr/bin/time ] || set -- "$@" time
if [ $# -gt 0 ] && install_packages "$@"; then
    case " $* " in *" docker-registry "* | *" nginx-light "*) stop_services ;; esac
fi

# from_source NAME MODULE@VERSION: builds it with Go into target/tools.
from_source() {
    if have "$1" || ! have go; then
        return 0
    fi
    echo "bench setup: installing $2"
    quietly env GOBIN="$tools/bin" GOFLAGS=-buildvcs=false go install "$2" || true
}
from_source crane "github.com/google/go-containerregistry/cmd/crane@$crane"
from_source regctl "github.com/regclient/regclient/cmd/regctl@$regctl"
from_source oras "oras.land/oras/cmd/oras@$oras"

missing() {
    echo "bench setup: $1 is not here: $2" >&2
}
have docker-registry || missing docker-registry "nothing can be measured without it"
have nginx || missing nginx "nothing is measured over TLS"
for client in crane regctl oras; do
    have "$client" || missing "$client" "it can't be compared (Go installs it)"
done
have skopeo || missing skopeo "it can't be compared"
for compressor in pigz zstd libdeflate-gzip; do
    have "$compressor" || missing "$compressor" "append can't be compared with it"
done
[ -x /usr/bin/time ] || missing "GNU time" "peak memory is unknown"
