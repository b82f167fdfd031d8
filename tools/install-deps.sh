#!/bin/sh
# Install the Debian packages that Trivisor needs. Made for Debian 12, where only make and apt are
# given. Does nothing at all, not even asking a mirror, when everything is there.
set -eu

# Compilers and what they need; the boot image; the emulators; libraries of the host programs and
# tests; the format check.
PACKAGES="
gcc gcc-multilib libc6-dev nasm
grub-common grub-pc-bin xorriso mtools
qemu-system-x86 bochs bochs-term bochsbios vgabios ncurses-base
libcriterion-dev libcjson-dev libzydis-dev pkgconf
clang-format
"
# `make fuzz` alone needs these: the compiler, and the run-time parts of its sanitizers.
FUZZ_PACKAGES="
clang libclang-rt-14-dev
"

# `make report` alone needs these: plots, and a strict look at the page.
REPORT_PACKAGES="
gnuplot-nox libxml2-utils tidy
"

usage() {
    cat <<EOF
usage: tools/install-deps.sh [--check | --list | --quiet | --help] [--fuzz] [--report]
  (nothing)  install the packages that are missing
  --check    say what is missing, install nothing; exit status 1 when something is
  --list     print the names of all packages that are needed
  --quiet    as (nothing), but silent when there is nothing to do
  --fuzz     with any of these: also what only \`make fuzz\` needs
  --report   with any of these: also what only \`make report\` needs
EOF
}

missing() {
    have=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' $PACKAGES 2>/dev/null || true)
    for p in $PACKAGES; do
        printf '%s\n' "$have" | grep -qx "$p installed" || echo "$p"
    done
}

say() {
    echo "install-deps: $*"
}

quiet=no
check=no
what=
for option; do
    case $option in
    --fuzz) PACKAGES="$PACKAGES $FUZZ_PACKAGES" ;;
    --report) PACKAGES="$PACKAGES $REPORT_PACKAGES" ;;
    *) [ -z "$what" ] || { usage >&2 && exit 2; }
       what=$option ;;
    esac
done
case $what in
'') ;;
--check) check=yes ;;
--quiet) quiet=yes ;;
--list) printf '%s\n' $PACKAGES && exit 0 ;;
--help | -h) usage && exit 0 ;;
*) usage >&2 && exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null; then
    say "this is not Debian (no dpkg-query); install by your own means: $(echo $PACKAGES)" >&2
    exit 1
fi

need=$(missing)
if [ -z "$need" ]; then
    [ $quiet = yes ] || say "everything is installed"
    exit 0
fi
need=$(echo $need)
if [ $check = yes ]; then
    say "missing: $need"
    exit 1
fi

as_root=
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null; then
        as_root=sudo
    else
        say "missing packages, and you are neither root nor have sudo; let root run: apt-get install $need" >&2
        exit 1
    fi
fi

say "installing $need"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 "$@" \
        >"$log" 2>&1 </dev/null
}

# A fresh system has no package lists, or old ones: get them only when the first try fails.
if ! apt install --no-install-recommends $need; then
    apt update || { tail -n 5 "$log" >&2; say "apt-get update failed (above)" >&2; exit 1; }
    apt install --no-install-recommends $need || {
        tail -n 5 "$log" >&2
        say "apt-get install failed (above)" >&2
        exit 1
    }
fi
say "done"
