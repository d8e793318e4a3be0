#!/bin/sh
# Unpacks packages of this machine's Debian, for any processor, without installing them:
#
#     sh packages.sh ARCHITECTURE FOLDER WITHOUT PACKAGE...
#
# The packages come with all that they depend on, but for names that the regular expression WITHOUT matches; with a `!`
# before it, names that it does not match. apt keeps its lists in $WORK (default: out, beside this
# file): the system's own are neither used nor changed, so that this takes no root.
set -eu
architecture=$1 folder=$2 without=$3
shift 3

work=${WORK:-$(dirname "$0")/out}
mkdir -p "$work" "$folder"
work=$(cd "$work" && pwd)
folder=$(cd "$folder" && pwd)
state=$work/apt-$architecture

# Two that run at once take turns.
exec 9>"$work/lock"
flock 9

# Only what the distribution itself signs: a machine's further sources would make other images.
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

# twice COMMAND...: mirrors have hiccups that retries of single requests don't cure.
twice() {
    "$@" || { sleep 3 && "$@"; }
}

# Lists of today serve for the day.
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
# Words of package names, which hold no spaces.
# shellcheck disable=SC2086
twice apt download $wanted
for package in *.deb; do
    dpkg-deb -x "$package" "$folder"
done
rm -rf "$state/debs"
