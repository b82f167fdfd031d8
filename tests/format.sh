#!/bin/bash
# Would clang-format change a source? Writes TAP: one result. `make format` repairs.
cd "$(dirname "$0")/.."
echo "TAP version 13"
echo "1..1"
if ! command -v clang-format >/dev/null; then
    echo "ok 1 - format # SKIP clang-format is not installed"
    exit 0
fi
offenders=$(find hypervisor trap-and-emulate paravirt hwassist guestos tools tests labs -name '*.[ch]' \
    -exec sh -c 'for f; do clang-format --dry-run -Werror "$f" >/dev/null 2>&1 || echo "$f"; done' _ {} + \
    2>/dev/null)
if [ -z "$offenders" ]; then
    echo "ok 1 - format"
else
    echo "not ok 1 - format: clang-format would change $(wc -l <<<"$offenders") files"
    sed 's/^/  # /' <<<"$offenders"
    exit 1
fi
