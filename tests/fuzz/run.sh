#!/bin/bash
# Run the fuzzers on all cores; progress on stderr, TAP, and at the end: N passed, N failed.
# usage: tests/fuzz/run.sh BUILD CASES SEED LIBFUZZER...
# CASES are those of decoder-zydis; a libFuzzer, which learns from each input, gets a hundredth, but
# those of what a guest attacks directly, the hypercalls and the virtio devices, a fifth. The VMM's
# emulator is held against QEMU's CPU in a fiftieth, and against Bochs' in a five hundredth.
set -u
build=$1
cases=$2
seed=$3
shift 3
cores=$(nproc)
out=$build/fuzz/log
rm -rf "$out"
mkdir -p "$out"
trap 'kill $(jobs -p) 2>/dev/null' EXIT
trap 'exit 130' INT TERM

# decoder-zydis, a share of the cases for each core; the first one also walks all opcodes.
begin=$SECONDS
echo "decoder-zydis: $cases random strings, seed $seed, on $cores cores" >&2
pids=()
for ((i = 0; i < cores; i++)); do
    share=$((cases / cores + (i < cases % cores)))
    options=(-c "$build/guestos/minnow.elf" -c "$build/hypervisor/trivisor.elf")
    if [ $i = 0 ]; then options+=(-p); else options+=(-r); fi
    "$build/fuzz/decoder-zydis" "${options[@]}" $share $((seed + i)) >"$out/zydis.$i" &
    pids+=($!)
done
passed=0
failed=0
verdict() { # verdict NAME STATUS LOG
    if [ "$2" = 0 ]; then
        passed=$((passed + 1))
        echo "ok $((passed + failed)) - $1: $(tail -n 1 "$3")"
    else
        failed=$((failed + 1))
        echo "not ok $((passed + failed)) - $1"
        grep -v '^#' "$3" | tail -n 60 | sed 's/^/  # /'
    fi
}
echo "TAP version 13"
echo "1..$((cores + $# + 2))"
for ((i = 0; i < cores; i++)); do
    wait "${pids[$i]}"
    verdict "decoder-zydis, seed $((seed + i))" $? "$out/zydis.$i"
done

# The libFuzzers, one behind the other on each core.
one() { # one NAME
    local part=100 length=300
    [ "$1" != fuzz_hypercalls ] || part=5 length=120
    [ "$1" != fuzz_virtio ] || part=5
    "$build/fuzz/$1" -runs=$((cases / part)) -seed="$seed" -max_len=$length -print_final_stats=0 \
        -artifact_prefix="$out/$1-" >"$out/$1" 2>&1
    echo $? >"$out/$1.status"
    echo "$1: $(tail -n 1 "$out/$1")" >&2
}
export -f one
export build cases seed out
[ $# = 0 ] || printf '%s\n' "$@" | xargs -P "$cores" -I{} bash -c 'one {}'
for name in "$@"; do
    verdict "$name" "$(cat "$out/$name.status" 2>/dev/null || echo 1)" "$out/$name"
done

# The emulator against the CPU, both machines at once; a part of QEMU's cases on its other half.
emulator() { # emulator MACHINE CASES MORE-OPTIONS...
    local machine=$1 count=$2
    shift 2
    "$build/tools/tv-run" --emu="$machine" --mode=native --guest="$build/tests/emulator/emulator.elf" \
        --disk=none --timeout=0 --dir="$out/run-$machine" --run="seed=$seed cases=$count" "$@" 2>&1 </dev/null |
        tr -d '\r' | tee "$out/emulator-$machine" | grep --line-buffered '^progress' |
        sed -u "s/^/emulator, $machine: /" >&2
    grep -q "^0 of $count cases differ, 0 instructions never compared" "$out/emulator-$machine"
    echo $? >"$out/emulator-$machine.status"
}
emulator qemu $((cases / 50)) &
emulator bochs $((cases / 500)) --cpu=ryzen &
wait
for machine in qemu bochs; do
    said=$(grep " cases differ" "$out/emulator-$machine")
    echo "$said" >>"$out/emulator-$machine"
    verdict "emulator, $machine" "$(cat "$out/emulator-$machine.status")" "$out/emulator-$machine"
done

echo
echo "$passed passed, $failed failed, in $((SECONDS - begin)) seconds"
[ "$failed" = 0 ]
