#!/bin/sh
# Unpacks packages from this machine's Debian, for any architecture, without installing them:
#
#     sh packages.sh ARCHITECTURE FOLDER WITHOUT PACKAGE...
#
# The packages come with all their dependencies, except for names that match the regular expression WITHOUT; with a `!`
# before it, names that don't match. apt keeps its lists in $WORK (default: out, next to this file): the system's own
# lists are neither used nor changed, so this doesn't need root.
set -eu
architecture=$1 folder=$2 without=$3
shift 3

work=${WORK:-$(dirname "$0")/out}
mkdir -p "$work" "$folder"
work=$(cd "$work" && pwd)
folder=$(cd "$folder" && pwd)
state=$work/apt-$architecture

# Two concurrent runs take turns.
exec 9>"$work/lock"
flock 9

# Only packages signed by the distribution: a machine's additional sources would give other images.
distribution=$(sed -n 's/^ID=//p' /etc/os-release)
case $distribution in
ubuntu) origin=Ubuntu ;;
*) origin=Debian ;;
esac
mkdir -p "$state/lists/partial" "$state/archives/partial"
: >"$state/status"
cat >"$state/preferences" <<END
Package: *
Pin: release o=$origin
Pin-Priority: 900

Package: *
Pin: release *
Pin-Priority: -1
END

apt() {
    command=$1
    shift
    apt-get "$command" -qq \
        -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" -o APT::Sandbox::User=root \
        -o APT::Install-Recommends=false -o Acquire::Retries=3 -o Dir::State="$state" \
        -o Dir::State::status="$state/status" -o Dir::Cache="$state" -o Dir::Cache::archives="$state/archives" \
        -o Dir::Etc::Preferences="$state/preferences" -o Dir::Etc::PreferencesParts=/dev/null "$@"
}

# twice COMMAND...: mirrors sometimes fail in a way that retries of single requests don't fix.
twice() {
    "$@" || { sleep 3 && "$@"; }
}

# Today's lists are used for the whole day.
if [ -z "$(find "$state/updated" -mmin -720 2>/dev/null)" ]; then
    twice apt update
    touch "$state/updated"
fi

case $without in
!*) filter=-Ex ;;
*) filter=-Evx ;;
esac
wanted=$(apt install --simulate "$@" | awk '$1 == "Inst" { print $2 }' | sed 's/:.*//' | grep "$filter" "${without#!}")
rm -rf "$state/debs"
mkdir "$state/debs"
cd "$state/debs"
# Package names without quotes: they contain no spaces.
# shellcheck disable=SC2086
twice apt download $wanted
for package in *.deb; do
    dpkg-deb -x "$package" "$folder"
done
rm -rf "$state/debs"
