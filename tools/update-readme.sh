#!/bin/bash
# Put QEMU's table of the last `make demo` into README.md, between its two marker lines.
set -eu
cd "$(dirname "$0")/.."
report=build/report/demo.txt
[ -r $report ] || { echo "update-readme: no $report; run make demo" >&2; exit 1; }
awk -v report=$report '
    /^<!-- demo end -->/ { skip = 0 }
    !skip { print }
    /^<!-- demo begin/ {
        skip = 1
        print "```"
        while ((getline line < report) > 0) {
            if (line == "QEMU") on = 1
            if (line == "") on = 0
            if (on) print line
        }
        print "```"
    }' README.md > build/README.new
cat build/README.new > README.md
rm build/README.new
