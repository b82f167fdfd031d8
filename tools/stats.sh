#!/bin/bash
# Lines of code by part: all lines, and those that are neither blank nor only comment.
cd "$(dirname "$0")/.."

count() { # count NAME FILE...
    local name=$1
    shift
    [ $# -gt 0 ] || return 0
    printf '%-30s %6d %7d %7d\n' "$name" $# "$(cat "$@" | wc -l)" \
        "$(cat "$@" | awk '
            in_comment { if (sub(/.*\*\//, "")) in_comment = 0; else next }
            { gsub(/\/\*([^*]|\*[^\/])*\*\//, "") }
            /\/\*/ { if (match($0, /^[[:space:]]*\/\*/)) { in_comment = 1; next } in_comment = 1 }
            /^[[:space:]]*($|\/\/|;|#[^a-z!])/ { next }
            { n++ } END { print n + 0 }')"
}

sources() {
    find "$@" \( -name '*.[ch]' -o -name '*.asm' -o -name '*.def' -o -name '*.sh' \) 2>/dev/null | sort
}

printf '%-30s %6s %7s %7s\n' part files lines code
for part in hypervisor trap-and-emulate paravirt hwassist; do
    count $part $(sources $part)
done
tests="guestos/user/usertests.c $(sources guestos/user/usertests) guestos/user/fuzz.c guestos/user/bench.c"
count "guestos: kernel" $(sources guestos/kernel guestos/include)
count "guestos: programs" $(sources guestos/user | grep -vxF "$(tr ' ' '\n' <<<"$tests")")
count "guestos: tests, benchmarks" $(ls $tests 2>/dev/null)
for part in tools tests labs; do
    count $part $(sources $part)
done
