#!/usr/bin/env bash
# Installs imgstep on a runner, for action.yml: the archive of this commit's release, if its SHA-256 matches the one
# committed in checksums.txt. Needs only Bash 3.2 (macOS), curl and tar. The output `bin` has the program's path.
#
#   IMGSTEP_BIN           a program to take instead; nothing is downloaded
#   IMGSTEP_DOWNLOAD_URL  where releases are, in place of GitHub: a mirror, whose archives have to be the same
set -euo pipefail

repository=org/imgstep
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
attempts=5

# fail TEXT: prints the reason as an annotation of the run, in one line, and exits.
fail() {
    local text=$1
    text=${text//\%/%25}
    text=${text//$'\r'/%0D}
    text=${text//$'\n'/%0A}
    printf '::error title=imgstep::%s\n' "$text" >&2
    exit 1
}

# give PROGRAM: writes the output and exits.
give() {
    printf 'bin=%s\n' "$1" >>"${GITHUB_OUTPUT:-/dev/stdout}"
    exit 0
}

# The SHA-256 of a file, read from stdin because unusual file names change what these programs print.
sha256() {
    local line
    if command -v sha256sum >/dev/null; then
        line=$(sha256sum <"$1")
    else
        line=$(shasum -a 256 <"$1")
    fi
    printf '%s' "${line%% *}"
}

# fetch URL FILE: retries transient errors, with increasing pauses.
fetch() {
    local attempt=1 pause=1 status code
    while :; do
        status=0
        # curl reads the proxy from the environment.
        code=$(curl --silent --show-error --fail --location --proto "$protocols" --proto-redir "$protocols" --tlsv1.2 \
            --connect-timeout 20 --speed-limit 1000 --speed-time 30 --max-time 600 \
            --output "$2" --write-out '%{http_code}' "$1") || status=$?
        [ "$status" != 0 ] || return 0
        case $status:$code in
        # Not retried: unsupported protocol or option, invalid URL, no access, not found.
        1:* | 2:* | 3:* | 22:401 | 22:403 | 22:404 | 22:410) break ;;
        esac
        [ "$attempt" -lt "$attempts" ] || break
        echo "imgstep: $1: failed (curl $status, HTTP ${code:-000}), attempt $attempt of $attempts; again in $pause s" >&2
        sleep "$pause"
        attempt=$((attempt + 1))
        pause=$((pause * 2))
    done
    fail "$1 can't be downloaded (curl $status, HTTP ${code:-000}). Behind a firewall, set https_proxy, let IMGSTEP_DOWNLOAD_URL name a mirror, or IMGSTEP_BIN a program that is there."
}

if [ -n "${IMGSTEP_BIN:-}" ]; then
    bin=$IMGSTEP_BIN
    case $bin in
    *$'\n'* | *$'\r'*) fail "IMGSTEP_BIN: a path of several lines is none." ;;
    /* | [A-Za-z]:[/\\]*) ;;
    */*) bin=$PWD/$bin ;;
    *) bin=$(command -v "$bin") || fail "IMGSTEP_BIN: there is no program \`$IMGSTEP_BIN\` on the PATH." ;;
    esac
    if [ ! -f "$bin" ] || [ ! -x "$bin" ]; then
        fail "IMGSTEP_BIN: there is no program at $bin."
    fi
    give "$bin"
fi

case ${RUNNER_OS:-$(uname -s)} in
Linux) os=linux ;;
macOS | Darwin) os=darwin ;;
Windows | MINGW* | MSYS* | CYGWIN*)
    fail "There is no release of imgstep for Windows runners: run this job on Linux or macOS, or let IMGSTEP_BIN name a program that you built."
    ;;
*) fail "There is no release of imgstep for ${RUNNER_OS:-$(uname -s)}: let IMGSTEP_BIN name a program that you built." ;;
esac
case ${RUNNER_ARCH:-$(uname -m)} in
X64 | x86_64 | amd64) arch=amd64 ;;
ARM64 | aarch64 | arm64) arch=arm64 ;;
*) fail "There is no release of imgstep for ${RUNNER_ARCH:-$(uname -m)}: let IMGSTEP_BIN name a program that you built." ;;
esac

sum='' asset='' released=''
while read -r own name || [ -n "${name:-}" ]; do
    case $name in
    imgstep-*-"$os-$arch".tar.gz) sum=$own asset=$name ;;
    imgstep-*) released=$name ;;
    esac
    name=''
done <"$here/checksums.txt"
if [ -z "$asset" ]; then
    [ -z "$released" ] || fail "This release of imgstep has no program for $os/$arch: let IMGSTEP_BIN name one that you built."
    fail "This commit of $repository is no release, and no program belongs to it: write a tag such as \`uses: $repository@v1\`, or the commit of one, or let IMGSTEP_BIN name a program that you built."
fi
version=${asset#imgstep-}
version=${version%"-$os-$arch.tar.gz"}
[[ $sum =~ ^[0-9a-f]{64}$ && $version =~ ^[0-9A-Za-z.+-]+$ ]] ||
    fail "checksums.txt is damaged: \`$sum  $asset\` is not a SHA-256 and an archive."

base=${IMGSTEP_DOWNLOAD_URL:-https://github.com/$repository/releases/download}
loopback='^http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?(/|$)'
if [[ $base == https://* ]]; then
    protocols='=https'
elif [[ $base =~ $loopback ]]; then
    protocols='=http,https'
else
    fail "IMGSTEP_DOWNLOAD_URL: $base does not begin with https://."
fi
url=${base%/}/v$version/$asset

temp=${RUNNER_TEMP:-${TMPDIR:-/tmp}}
folder=$(mktemp -d "${temp%/}/imgstep-XXXXXX")
archive=$folder/$asset

# The tool cache holds the archive, not the program, so that a cached archive is verified each time like a downloaded
# one: other jobs on a self-hosted runner may be able to write there. It is verified where only this job can write.
cached=''
if [ -n "${RUNNER_TOOL_CACHE:-}" ] && mkdir -p "$RUNNER_TOOL_CACHE/imgstep/$version/$arch" 2>/dev/null; then
    cached=$RUNNER_TOOL_CACHE/imgstep/$version/$arch/$asset
fi
if [ -n "$cached" ] && [ -f "$cached" ] && cp "$cached" "$archive" && [ "$(sha256 "$archive")" = "$sum" ]; then
    echo "imgstep $version: from the tool cache" >&2
else
    command -v curl >/dev/null || fail "curl is not here, and has to download imgstep: install it, or let IMGSTEP_BIN name a program that is there."
    fetch "$url" "$archive"
    found=$(sha256 "$archive")
    if [ "$found" != "$sum" ]; then
        rm -f "$archive"
        fail "$url is not what was released: its SHA-256 is $found, and $sum was committed with this action. Nothing of it was run."
    fi
    echo "imgstep $version: downloaded and verified" >&2
    # Atomic, even if two jobs on one machine run at once. A full disk is not a failure.
    if [ -n "$cached" ]; then
        { cp "$archive" "$cached.$$" && mv -f "$cached.$$" "$cached"; } 2>/dev/null || rm -f "$cached.$$"
    fi
fi

tar -xzf "$archive" -C "$folder"
rm -f "$archive"
for bin in "$folder/imgstep" "$folder"/*/imgstep; do
    [ ! -f "$bin" ] || give "$bin"
done
fail "$asset holds no program \`imgstep\`."
