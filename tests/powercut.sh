#!/bin/bash
# Cut the power at every disk write of a workload. Minnow runs it in QEMU, on an ATA drive and on a
# virtio block device, and QEMU records what reaches the disk; tv-powercut then looks at each disk that a power cut could have left behind.
# Minnow itself starts on some of them, which is recorded and cut in the same way. Writes TAP.
# LONG=1: more work, more random orders of the writes, more starts. SEED=N: others.
set -u
cd "$(dirname "$0")/.."
build=${BUILD:-build}
long=${LONG:-}
seed=${SEED:-1}
dir=$build/test/powercut
subsets=32
starts=4
rounds=6
links=70
usertests=usertests,-q
if [ -n "$long" ]; then
    subsets=400 starts=30 rounds=16 links=420 usertests=usertests
fi
number=0
status=0
device=ide-hd,bus=ide.0,unit=0

# result CODE NAME FILE : CODE is the exit status; what a failed one has printed is in the file
result() {
    number=$((number + 1))
    if [ "$1" = 0 ]; then
        echo "ok $number - powercut/$2"
    else
        status=1
        echo "not ok $number - powercut/$2 (exit status $1)"
        tail -n 60 "$3" | sed 's/^/  # /'
    fi
    return "$1"
}

# record NAME PROGRAMS IMAGE : run them in QEMU on a copy of the image; succeeds when they do. In
# $dir: NAME.log has the writes, NAME.img the disk afterwards, NAME.txt the console.
record() {
    local file=driver=file,cache.no-flush=on name=$dir/$1 code
    cp "$3" "$name.img"
    : >"$name.log"
    timeout 300 qemu-system-i386 -M pc -cpu max -m 128 -display none -no-reboot -net none \
        -monitor none -icount shift=0,sleep=off -rtc base=2026-01-01T00:00:00,clock=vm \
        -device isa-debug-exit,iobase=0xf4,iosize=1 -serial "file:$name.txt" \
        -serial "file:$name.records" -kernel "$build/guestos/minnow.elf" -append "run=$2" \
        -blockdev "node-name=image,$file,filename=$name.img" \
        -blockdev "node-name=log,$file,filename=$name.log" \
        -blockdev driver=blklogwrites,node-name=disk,file=image,log=log \
        -device "$device,drive=disk" >"$name.qemu" 2>&1
    code=$?
    cat "$name.qemu" >>"$name.txt"
    [ $code = 1 ] && return 0 # QEMU makes 2 * status + 1 of it
    echo "QEMU's exit status is $code" >>"$name.txt"
    return 1
}

# A workload: commands for the guest's shell. The kernel commits when its log is full and every
# second: the sleeps let it do so with little in the log.
script() {
    local r i d
    for ((r = 0; r < rounds; r++)); do
        d=/round$r
        echo "mkdir $d $d/a $d/a/b $d/many"
        # Files and directories come and go; names move.
        for ((i = 0; i < 12; i++)); do
            echo "echo file $i of round $r > $d/a/f$i"
            echo "ln $d/a/f$i $d/a/b/g$i; rm $d/a/f$i"
        done
        echo "sleep 1.1"
        echo "mkdir $d/a/b/c; rm $d/a/b/c; mkdir $d/a/b/c; echo x > $d/a/b/c/x"
        # A file with an indirect block, and one with doubly indirect ones.
        echo "cat /bin/sh /bin/sh > $d/middle"
        echo "cat /bin/bench /bin/bench /bin/bench /bin/bench /bin/bench > $d/large"
        echo "cat $d/large $d/large $d/large > $d/larger"
        echo "echo the end >> $d/larger"
        # Shorter, longer, gone.
        echo "echo short > $d/middle; cat /bin/ls >> $d/middle; rm $d/large"
        # A directory of several blocks, all entries of which are one file.
        echo "echo one file > $d/many/0"
        for ((i = 1; i < links; i++)); do
            echo "ln $d/many/0 $d/many/entry$i"
        done
        echo "sleep 1.1"
        for ((i = 1; i < links; i += 2)); do
            echo "rm $d/many/entry$i"
        done
        # Files that are removed while a program has them open, while the kernel commits.
        for ((i = 0; i < 3; i++)); do
            echo "cat /bin/sh > $d/open$i"
            echo "sleep $((1 + i)).5 < $d/open$i &"
        done
        echo "rm $d/open0 $d/open1 $d/open2"
        echo "sleep 1.1"
        # Several at the same time.
        echo "cat /bin/bench > $d/p0 & cat /bin/bench > $d/p1 & cat /bin/ls > $d/p2 & rm -r $d/a &"
        echo "sleep 3"
        [ $r = 0 ] || echo "rm -r /round$((r - 1))"
    done
    if [ -n "$long" ]; then
        # Until the disk is full: cat complains.
        echo "mkdir /full; cat /bin/bench > /full/0"
        for ((i = 0; i < 8; i++)); do
            echo "cat /full/$i /full/$i > /full/$((i + 1))"
        done
        echo "mkdir /full/d; rm /full/8 /full/7; mkdir /full/e; echo x > /full/e/x; rm -r /full"
    fi
    echo "echo the script is done"
}

# All of the script must have done what it is meant to do, not only its last line.
script_complaints() {
    grep -E '^(sh|cat|echo|ln|rm|mkdir|sleep): ' "$1" | grep -v 'disk full'
    grep -q '^the script is done' "$1" || echo "the script has not come to its end"
    [ "$device" != virtio-blk-pci ] || grep -q 'the disk is a virtio block device' "$1" ||
        echo "Minnow did not take the virtio disk"
}

# start NAME IMAGE : does Minnow take the disk as it is, and leave a sound one, wherever its start
# is cut off?
start() {
    local programs="ls,/;ls,/home;ls,/bin;sh,-c,echo still alive > /alive;cat,/alive"
    "$build/tools/tv-fsck" "$2" || return 1
    if ! record "$1" "$programs" "$2" || ! grep -q '^script' "$dir/$1.txt" ||
        ! grep -q '^still alive' "$dir/$1.txt" || grep -q damaged "$dir/$1.txt"; then
        echo "not what Minnow should print:"
        cat "$dir/$1.txt"
        return 1
    fi
    "$build/tools/tv-fsck" "$dir/$1.img" &&
        "$build/tools/tv-powercut" --subsets=$subsets --seed="$seed" "$2" "$dir/$1.log"
}

# cut_power NAME PROGRAMS : a workload with all that belongs to it
cut_power() {
    local name=$1 code checked image write complaints=
    record "$name" "$2" "$dir/base.img" && complaints=$([ "$2" != sh,/script ] || script_complaints "$dir/$name.txt") &&
        [ -z "$complaints" ]
    code=$?
    echo "$complaints" >>"$dir/$name.txt"
    result $code "$name: Minnow runs it" "$dir/$name.txt" || return 1

    "$build/tools/tv-powercut" --subsets=$subsets --seed="$seed" --keep="$dir/$name" \
        --samples=$starts "$dir/base.img" "$dir/$name.log" >"$dir/$name.cuts" 2>&1
    code=$?
    checked=$(sed -n 's/^powercut: \([0-9].*\): all consistent$/: \1/p' "$dir/$name.cuts")
    result $code "$name: power cuts$checked" "$dir/$name.cuts" || return 1

    for image in "$dir/$name"/cut-*.img; do
        write=$(basename "$image" .img)
        write=${write#cut-}
        start "$name-$write" "$image" >"$dir/$name-$write.start" 2>&1
        result $? "$name: Minnow starts after write $((10#$write))" "$dir/$name-$write.start"
    done
}

echo "TAP version 13"
echo "1..$((3 * (2 + starts)))"
rm -rf "$dir"
mkdir -p "$dir"
if ! cp -r "$build/guestos/disk" "$dir/folder" || ! script >"$dir/folder/script" ||
    ! "$build/tools/tv-mkfs" --size 4032 "$dir/folder" "$dir/base.img"; then
    echo "Bail out! there is no disk image to begin with"
    exit 1
fi
cut_power script sh,/script && cut_power usertests "$usertests"
device=virtio-blk-pci
cut_power virtio sh,/script
exit $status
