#!/bin/sh
# Installs what the tests need besides cargo: real registries, and other tools to compare with. It lists what can't be
# installed, and the tests that need it are skipped; with CI=true they fail instead.
set -eu
cd "$(dirname "$0")/.."

tools=$PWD/target/tools
crane=v0.22.1
PATH=$tools/bin:$PATH

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

# patient_apt ARGUMENTS...: waits if another apt is running.
patient_apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=600 "$@"
}

# The package lists have a separate lock, which no option waits for.
update_lists() {
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        if said=$(patient_apt update </dev/null 2>&1); then
            return 0
        fi
        case $said in
        *"Could not get lock"*) sleep 15 ;;
        *) break ;;
        esac
    done
    printf '%s\n' "$said" | tail -n 5 >&2
    return 1
}

install_packages() {
    have apt-get && as_root true || return 1
    echo "setup: installing with root's rights: $*"
    update_lists || return 1
    quietly patient_apt install -y --no-install-recommends "$@"
}

# The architecture other than this machine's: the examples are built for both.
case $(uname -m) in
aarch64) other=x86_64 other_package=x86-64 other_debian=amd64 ;;
*) other=aarch64 other_package=aarch64 other_debian=arm64 ;;
esac

have_engine() {
    have docker && { have dockerd || [ -x /usr/sbin/dockerd ] || docker info >/dev/null 2>&1; }
}

have_pip() {
    python3 -m pip --version >/dev/null 2>&1
}

have_venv() {
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1
}

set --
have docker-registry || set -- "$@" docker-registry
have skopeo || set -- "$@" skopeo
have umoci || set -- "$@" umoci
have zstd || set -- "$@" zstd
# For running the examples of docs/ci and of the GitHub Action.
have curl || set -- "$@" curl
have busybox || set -- "$@" busybox
have git || set -- "$@" git
have shellcheck || set -- "$@" shellcheck
# For building and running the examples.
have_engine || set -- "$@" docker.io
have go || set -- "$@" golang-go
have npm || set -- "$@" npm
have_pip || set -- "$@" python3-pip
have_venv || set -- "$@" python3-venv
have javac || set -- "$@" default-jdk-headless
have "$other-linux-gnu-gcc" || set -- "$@" "gcc-$other_package-linux-gnu" "libc6-dev-$other_debian-cross"
if [ $# -gt 0 ] && install_packages "$@" && [ -d /run/systemd/system ]; then
    # These two packages also start services, which nobody asked for. The tests start their own.
    for package in "$@"; do
        case $package in
        docker-registry) quietly as_root systemctl disable --now docker-registry || true ;;
        docker.io) quietly as_root systemctl disable --now docker.socket docker containerd || true ;;
        esac
    done
fi
# Newer Debian versions have the client in a separate package.
if ! have docker && have dockerd; then
    install_packages docker-cli || true
fi

# Older versions don't download the newer Go that a module requires.
have_recent_go() {
    go version 2>/dev/null | grep -Eq 'go1[.](2[1-9]|[3-9][0-9])'
}

if ! have crane && have_recent_go; then
    echo "setup: installing crane $crane into target/tools"
    quietly env GOBIN="$tools/bin" GOFLAGS=-buildvcs=false \
        go install "github.com/google/go-containerregistry/cmd/crane@$crane" || true
fi

# Checks YAML and Groovy against the schemas and grammars of CI systems, in a separate environment.
install_python_tools() {
    have_venv || return 1
    echo "setup: installing check-jsonschema, zizmor and a grammar of Groovy into target/tools/python"
    quietly python3 -m venv "$tools/python" &&
        quietly "$tools/python/bin/pip" install --disable-pip-version-check \
            check-jsonschema==0.39.0 zizmor==1.32.0 tree-sitter==0.26.1 tree-sitter-groovy==0.1.2
}
have_python_tools() {
    [ -x "$tools/python/bin/zizmor" ] && "$tools/python/bin/python" -c 'import check_jsonschema, tree_sitter_groovy' >/dev/null 2>&1
}
have_python_tools || install_python_tools || true

# Argo's schema comes with its Go module, which isn't compiled.
argo=v3.7.4
if [ ! -f "$tools/argo/$argo.json" ] && have go; then
    echo "setup: taking the schema of Argo Workflows $argo into target/tools"
    mkdir -p "$tools/argo"
    folder=$(cd "$tools/argo" && go mod download -json "github.com/argoproj/argo-workflows/v3@$argo" 2>/dev/null |
        sed -n 's/.*"Dir": "\(.*\)".*/\1/p') || folder=
    [ -z "$folder" ] || cp "$folder/api/jsonschema/schema.json" "$tools/argo/$argo.json" || true
fi

# For checking and running the GitHub Action.
for program in github.com/nektos/act@v0.2.89 github.com/rhysd/actionlint/cmd/actionlint@v1.7.12; do
    name=${program%@*}
    if have_recent_go && [ ! -x "$tools/bin/${name##*/}" ]; then
        echo "setup: installing $program into target/tools"
        # Both require a newer Go than Debian's, which downloads it by itself.
        quietly env GOBIN="$tools/bin" GOFLAGS=-buildvcs=false GOTOOLCHAIN=auto go install -ldflags='-s -w' "$program" || true
    fi
done
if have npm && [ ! -e "$tools/node_modules/.bin/action-validator" ]; then
    echo "setup: installing action-validator into target/tools"
    quietly npm install --silent --no-save --no-audit --no-fund --prefix "$tools" \
        @action-validator/core@0.6.0 @action-validator/cli@0.6.0 || true
fi

# Tekton's own code, with ours around it: about 90 seconds on two cores, once. Without cgo, because its programs run in
# root folders that contain nothing else.
have_go_for_tekton() {
    go version 2>/dev/null | grep -Eq 'go1[.](2[4-9]|[3-9][0-9])'
}

if have_go_for_tekton; then
    echo "setup: building Tekton's admission, controller, resolver and entrypoint into target/tools/tekton"
    mkdir -p "$tools/tekton"
    (
        cd tests/tekton
        pipeline=github.com/tektoncd/pipeline/cmd
        quietly env CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -tags disable_spire -ldflags='-s -w' \
            -o "$tools/tekton/" ./tektoncheck ./readbundle "$pipeline/entrypoint" "$pipeline/workingdirinit"
    ) || true
fi

# Debian doesn't package Deno; npm has its binary.
if ! have deno && have npm; then
    case $(uname -m) in
    aarch64) package=@deno/linux-arm64-glibc@2.9.6 ;;
    *) package=@deno/linux-x64-glibc@2.9.6 ;;
    esac
    echo "setup: installing $package into target/tools"
    mkdir -p "$tools/deno" "$tools/bin"
    if quietly npm pack --silent --pack-destination "$tools/deno" "$package"; then
        tar -xzf "$tools"/deno/*.tgz -C "$tools/bin" --strip-components=1 package/deno
        rm -r "$tools/deno"
    fi
fi

# The std for the installed Rust is only available from rustup. Otherwise Debian's compiler is used for the other
# architecture: unpacked, not installed, so that nothing else finds it.
have_other_std() {
    libraries=$(rustc --print target-libdir --target "$other-unknown-linux-gnu") &&
        ls "$libraries"/libstd-*.rlib >/dev/null 2>&1
}

# unpack_rust COMPILER STD: unpacks Debian's packages of them.
unpack_rust() {
    rm -rf "$tools/rust"
    WORK=$tools/packages sh examples/base/packages.sh "$(dpkg --print-architecture)" "$tools/rust" \
        '!rustc.*|libstd-rust-.*[0-9]|libllvm.*|lib(edit|ffi|xml|z3|bsd|md|icu|tinfo|zstd|lzma).*|zlib1g' "$1" &&
        WORK=$tools/packages sh examples/base/packages.sh "$other_debian" "$tools/rust" '!libstd-rust-.*dev' "$2"
}

if ! have_other_std && [ ! -x "$tools/rust/rustc" ]; then
    echo "setup: unpacking Debian's Rust for $other into target/tools"
    # The first is the newer of the two, if Debian has it.
    if unpack_rust rustc-web libstd-rust-web-dev >/dev/null 2>&1 || quietly unpack_rust rustc libstd-rust-dev; then
        libraries=$tools/rust/usr/lib/$(uname -m)-linux-gnu:$tools/rust/lib/$(uname -m)-linux-gnu
        cat >"$tools/rust/rustc" <<END
#!/bin/sh
# Debian's compiler for $other, and the installed one for everything else.
case " \$* " in
*$other-unknown-linux-gnu*)
    export LD_LIBRARY_PATH="$libraries"
    exec "$tools/rust/usr/bin/rustc" "\$@"
    ;;
*) exec rustc "\$@" ;;
esac
END
        chmod +x "$tools/rust/rustc"
    fi
fi

missing() {
    echo "setup: $1 is missing: $2" >&2
}
have docker-registry || missing docker-registry "no tests against the distribution registry; the same tests run against the registry in imgstep"
have skopeo || missing skopeo "no comparisons with skopeo"
have umoci || missing umoci "umoci doesn't unpack layers"
have zstd || missing zstd "GNU tar doesn't unpack zstd layers"
have crane || missing crane "no comparisons with crane (Go 1.21 or newer installs it)"
have_recent_go || missing "Go 1.21 or newer" "no conformance suite of the OCI distribution spec"
have_go_for_tekton || missing "Go 1.24 or newer" "the Tekton Tasks aren't run, and Tekton neither validates them nor reads bundles"
have go || missing go "the Go example isn't tested"
have_engine || missing docker "the examples' containers aren't run"
have npm || missing npm "the Node and Deno examples aren't tested"
have_pip || missing pip "the Python example isn't tested"
have_python_tools || missing "check-jsonschema and zizmor" "the CI systems' examples are neither validated nor run, and the workflows aren't checked"
[ -f "$tools/argo/$argo.json" ] || missing "the schema of Argo Workflows" "its example isn't checked"
have busybox || missing busybox "sh replaces the shell of the image with a shell"
have shellcheck || missing shellcheck "the scripts in docs/ci aren't checked"
have curl || missing curl "the examples that download imgstep aren't tested"
have javac || missing javac "the Java example isn't tested"
[ -x "$tools/bin/act" ] || missing act "the GitHub Action and its example workflows aren't run"
[ -x "$tools/bin/actionlint" ] || missing actionlint "it doesn't check the workflows"
[ -e "$tools/node_modules/.bin/action-validator" ] || missing action-validator "it doesn't check the workflows"
have_other_std || [ -x "$tools/rust/rustc" ] || missing "Rust's std for $other" "the Rust example isn't tested"
