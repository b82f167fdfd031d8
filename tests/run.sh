#!/bin/bash
# Run test suites, each of which writes TAP, and end with one line: N passed, N failed.
# usage: tests/run.sh BUILD SUITE...
# suites: unit zydis virtio sites structure format powercut diskerrors system
set -u
build=$1
shift
mkdir -p "$build/test"
passed=0
failed=0

# One TAP line from a program that only has an exit status.
as_tap() {
    name=$1
    shift
    echo "TAP version 13"
    echo "1..1"
    if output=$("$@" 2>&1); then
        echo "ok 1 - $name: $(tail -n 1 <<<"$output")"
    else
        echo "not ok 1 - $name"
        sed 's/^/  # /' <<<"$output" | tail -n 20
        return 1
    fi
}

suite() {
    case $1 in
    zydis) as_tap decoder-zydis "$build/tests/decoder-zydis" -c "$build/guestos/minnow.elf" 200000 ;;
    virtio) as_tap fuzz-virtio "$build/tests/fuzz-virtio" 200000 1 ;;
    sites) "$build/tests/guest-sites" "$build/guestos/minnow.elf" "$build"/guestos/bin/*.full ;;
    structure) tests/structure.sh ;;
    format) tests/format.sh ;;
    powercut) BUILD=$build tests/powercut.sh ;;
    diskerrors) BUILD=$build tests/diskerrors.sh ;;
    system) "$build/tests/tv-systest" "${ONLY:-}" ;;
    esac
}

for name in "$@"; do
    tap=$build/test/$name.tap
    rm -f "$tap"
    echo "== $name"
    if [ "$name" = unit ]; then
        # Criterion writes TAP to a file; its complaints about failed tests come on stderr.
        "$build/tests/unit" --jobs 2 --tap="$tap" 2>&1 | tail -n 60
        status=${PIPESTATUS[0]}
    else
        suite "$name" | tee "$tap"
        status=${PIPESTATUS[0]}
    fi
    good=$(grep -c '^ok ' "$tap" 2>/dev/null)
    bad=$(grep -c '^not ok ' "$tap" 2>/dev/null)
    planned=$(sed -n 's/^1\.\.\([0-9]*\).*/\1/p' "$tap" 2>/dev/null | head -n 1)
    # A suite that died, or lost results, is a failure even when every result it wrote is good.
    if [ "${bad:-0}" = 0 ] && { [ "$status" != 0 ] || [ "${planned:-x}" != "${good:-0}" ]; }; then
        echo "not ok - suite $name: exit status $status, ${good:-0} of ${planned:-?} results"
        bad=1
    fi
    passed=$((passed + ${good:-0}))
    failed=$((failed + ${bad:-0}))
done
echo
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
