#!/bin/bash
# Do traces load where people look at them? Records one, has speedscope (an npm package, installed below
# build/) show both of its files in a browser without a screen, and looks for their frames in what it
# draws. Writes TAP; skips all, and says so, where npm or chromium is missing or nothing can be
# installed. Pictures: build/trace/view-*.png.
set -u
cd "$(dirname "$0")/.."
build=${BUILD:-build}
home=$build/npm
out=$build/trace/view
page=$home/node_modules/speedscope/dist/release/index.html

skip() {
    echo "1..0 # SKIP $1"
    exit 0
}

echo "TAP version 13"
command -v npm >/dev/null || skip "npm is not installed: nobody has looked whether speedscope reads traces"
browser=$(command -v chromium || command -v chromium-browser) ||
    skip "chromium is not installed: nobody has looked whether speedscope reads traces"
mkdir -p "$home" "$build/trace"
if [ ! -e "$page" ]; then
    npm install --no-audit --no-fund --no-save --prefix "$home" speedscope >"$home/install.txt" 2>&1 ||
        skip "speedscope cannot be installed (see $home/install.txt): nobody has looked whether it reads traces"
fi

number=0
status=0
result() { # NAME COMMAND... : its output is the reason when it fails
    local name=$1 said
    shift
    number=$((number + 1))
    if said=$("$@" 2>&1); then
        echo "ok $number - speedscope/$name"
    else
        status=1
        echo "not ok $number - speedscope/$name"
        sed 's/^/  # /' <<<"$said" | tail -n 10
    fi
}

# The profile as a script, in the way that speedscope's own command hands one over.
as_script() { # FILE
    printf 'speedscope.loadFileFromBase64("%s","' "$(basename "$1")"
    base64 -w 0 "$1"
    printf '")\n'
}

browse() { # VIEW OPTION...
    local view=$1
    shift
    timeout 120 "$browser" --headless=new --no-sandbox --disable-gpu --use-gl=angle \
        --use-angle=swiftshader --enable-unsafe-swiftshader --allow-file-access-from-files \
        --user-data-dir="$PWD/$home/browser" --window-size=1400,800 --virtual-time-budget=8000 "$@" \
        "file://$PWD/$page#view=$view&localProfilePath=$PWD/$out.js" 2>"$out.browser.txt"
}

# The page's text has all of these words: the profile's name, and frames in the table of frames.
shows() { # FILE WORD...
    local file=$1 word
    shift
    as_script "$file" >"$out.js"
    browse sandwich --dump-dom >"$out.html" || return 1
    browse left-heavy --screenshot="$PWD/$out-${file##*.}.png" >/dev/null || return 1
    for word in "$@"; do
        grep -qF "$word" "$out.html" || {
            echo "\"$word\" is not on the page ($out.html)"
            return 1
        }
    done
    [ "$(stat -c %s "$out-${file##*.}.png")" -gt 10000 ] || {
        echo "the picture is empty"
        return 1
    }
}

echo "1..4"
result "a trace is made" "$build/tools/tv-trace" --mode=svm --run=ls --out="$out" --dir="$build/run/trace-view"
result "the trace events load" shows "$out.json" view.json "VMM (tid 1)" "io {" "hlt {" "nested-fill {" "schedule+0x"
result "the folded stacks load" shows "$out.folded" view.folded ">minnow<" ">kernel<" ">hlt<" ">schedule<"
echo "not a profile" >"$out.bad"
number=$((number + 1))
if shows "$out.bad" ">io<" >/dev/null; then
    status=1
    echo "not ok $number - speedscope/a file that is no profile does not load"
else
    echo "ok $number - speedscope/a file that is no profile does not load"
fi
exit $status
