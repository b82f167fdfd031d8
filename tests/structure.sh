#!/bin/bash
# The rules of the house that no compiler checks. Writes TAP.
set -u
cd "$(dirname "$0")/.."
number=0
status=0

sources() { # sources DIR... : C, headers and assembly below them
    find "$@" \( -name '*.[ch]' -o -name '*.asm' -o -name '*.def' \) 2>/dev/null | sort
}

# check NAME OFFENDERS : good when the list of offending lines is empty
check() {
    number=$((number + 1))
    if [ -z "$2" ]; then
        echo "ok $number - structure/$1"
    else
        status=1
        echo "not ok $number - structure/$1"
        sed 's/^/  # /' <<<"$2" | head -n 20
    fi
}

# include_outside DIR... -- FILES... : quoted includes that are in none of the directories
include_outside() {
    local dirs=() line file name dir
    while [ "$1" != -- ]; do
        dirs+=("$1")
        shift
    done
    shift
    [ $# = 0 ] || grep -HoE '^ *#include "[^"]+"' "$@" | while IFS= read -r line; do
        file=${line%%:*}
        name=${line#*\"}
        name=${name%\"}
        for dir in "$(dirname "$file")" "${dirs[@]}"; do
            [ -e "$dir/$name" ] && continue 2
        done
        echo "$file includes \"$name\""
    done
}

echo "TAP version 13"
echo "1..10"

# Direction of knowledge.
check "hypervisor/ includes no header of a mode" \
    "$(include_outside hypervisor hypervisor/include -- $(sources hypervisor))"
check "trap-and-emulate/ knows only hypervisor/include" \
    "$(include_outside hypervisor/include -- $(sources trap-and-emulate))"
check "paravirt/ knows hypervisor/include and trap-and-emulate" \
    "$(include_outside hypervisor/include trap-and-emulate paravirt/include -- $(sources paravirt))"
check "hwassist/ knows only hypervisor/include and itself" \
    "$(include_outside hypervisor/include hwassist -- $(sources hwassist))"
check "guestos/ shares with the VMM only pv_abi.h" \
    "$(include_outside guestos/include guestos/kernel guestos/user -- $(sources guestos) | grep -v '"pv_abi.h"')"
check "no include climbs out of its folder" \
    "$(grep -nE '#include "\.\./\.\.' $(sources hypervisor trap-and-emulate paravirt hwassist guestos tools) </dev/null)"

# What a reader must not find.
check "no unfinished work outside OPEN-PROBLEMS.md" \
    "$(grep -nE '\b(TODO|FIXME|XXX|HACK)\b' $(sources hypervisor trap-and-emulate paravirt hwassist guestos tools tests) </dev/null)"
check "no path or host of somebody's machine" \
    "$(grep -rnE '/(home|root|work)/[a-z]|https?://[^ )]*(proxy|mirror|artifactory|nexus|:[0-9]{4})' \
        --include='*.[ch]' --include='*.asm' --include='*.def' --include='*.md' --include='*.sh' \
        --include='*.mk' --include=Makefile --exclude-dir=.git --exclude-dir=build \
        --exclude=structure.sh .)"
check "no tabs and no trailing blanks in sources" \
    "$(grep -nP '\t|[ \t]+$' $(sources hypervisor trap-and-emulate paravirt hwassist guestos tools tests) </dev/null)"
check "no source of over 700 lines" \
    "$(wc -l $(sources hypervisor trap-and-emulate paravirt hwassist guestos tools tests) | awk '$1 > 700 && $2 != "total"')"
exit $status
