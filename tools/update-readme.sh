#!/bin/bash
# Measure again what README.md shows, and put it between the marker lines there: "<!-- NAME begin"
# and "<!-- NAME end -->". `make readme` calls it, after `make demo`, with the tools built. Takes some
# minutes, most of them emulators.
set -eu
cd "$(dirname "$0")/.."
tools=build/tools
part=$(mktemp)
trap 'rm -f "$part"' EXIT

# Replace what is between the markers of a name by the file $part.
put() {
    grep -q "^<!-- $1 begin" README.md || { echo "update-readme: no marker for $1" >&2; exit 1; }
    awk -v name="$1" -v file="$part" '
        $0 == "<!-- " name " end -->" { skip = 0 }
        !skip { print }
        index($0, "<!-- " name " begin") == 1 {
            skip = 1
            while ((getline line < file) > 0) print line
        }' README.md > build/README.new
    cat build/README.new > README.md
    rm build/README.new
    echo "  README.md: $1" >&2
}

# Ticks of one operation of the guest's bench.
ticks() { # emulator mode virtio operation
    $tools/tv-run --emu="$1" --mode="$2" --virtio="$3" --run="bench,$4" 2>/dev/null |
        sed -nE "s/.*name=$4 .*ticks=([0-9]+).*/\1/p"
}

demo() {
    local report=build/report/demo.txt
    [ -r $report ] || { echo "update-readme: no $report; run make demo" >&2; exit 1; }
    {
        echo '```'
        awk '$0 == "QEMU" { on = 1 } $0 == "" { on = 0 } on' $report
        echo '```'
    } > "$part"
    put demo
}

disk() {
    local row virtio
    {
        echo "| | native | trap | para | vtx | svm |"
        echo "|---|---|---|---|---|---|"
        for virtio in off on; do
            row="| ATA drive"
            [ $virtio = on ] && row="| virtio"
            for mode in native trap para; do
                row+=" | $(ticks qemu $mode $virtio disk-driver)"
            done
            row+=" | $(ticks bochs vtx $virtio disk-driver)"
            echo "$row | $(ticks qemu svm $virtio disk-driver) |"
        done
    } > "$part"
    put disk
}

sites() {
    {
        echo '```'
        $tools/tv-sites --emu=qemu 2>/dev/null | awk '
            /^Minnow/ { on = 1 }
            /^By operation/ { print ""; by = 1; n = 0 }
            on && !by && n < 12 { print; n++; if (n == 12) print "..." }
            by && n < 12 { print; n++; if (n == 12) print "..." }'
        echo '```'
    } > "$part"
    put sites
}

ablation() {
    {
        echo '```'
        $tools/tv-ablation --emu=qemu 2>/dev/null | awk '
            /null-syscall/ && !table { table = 1; on = 1 }
            on && $0 == "" { if (worth) exit; print "..."; print ""; on = 0 }
            /^What each mechanism/ { on = 1; worth = 1 }
            on'
        echo '```'
    } > "$part"
    put ablation
}

ladder() {
    {
        echo '```'
        $tools/tv-ladder --models=core_duo_t2400_yonah,corei7_haswell_4770,corei7_haswell_4770+shadow \
            2>/dev/null | awk '
            /^model/ { on = 1 }
            on && $0 == "" { print "..."; on = 0 }
            on
            /^corei7.*\(/ { print; getline; print }'
        echo '```'
    } > "$part"
    put ladder
}

if [ $# -eq 0 ]; then
    set -- demo disk sites ablation ladder
fi
for name; do
    case $name in
    demo | disk | sites | ablation | ladder) $name ;;
    *)
        echo "usage: tools/update-readme.sh [demo] [disk] [sites] [ablation] [ladder]" >&2
        exit 2
        ;;
    esac
done
