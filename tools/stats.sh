#!/bin/bash
# Lines of code by part: all lines, and those that are neither blank nor only comment.
cd "$(dirname "$0")/.."
printf '%-18s %6s %7s %7s\n' part files lines code
for part in hypervisor trap-and-emulate paravirt hwassist guestos tools tests labs; do
    files=$(find $part \( -name '*.[ch]' -o -name '*.asm' -o -name '*.def' -o -name '*.sh' \) 2>/dev/null)
    [ -n "$files" ] || continue
    printf '%-18s %6d %7d %7d\n' "$part" "$(wc -w <<<"$files")" "$(cat $files | wc -l)" \
        "$(cat $files | grep -cvE '^[[:space:]]*($|//|/\*|\*|;|#[^a-z!])')"
done
