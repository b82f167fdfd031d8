#!/bin/bash
# A disk that fails: sectors that cannot be read or written, once or always, and requests that fail
# at a certain moment. Minnow runs in QEMU, which injects the errors; whatever it makes of them, it
# must come to its end, and what it leaves must be a sound file system. Writes TAP. LONG=1: more of
# them. SEED=N: others.
set -u
cd "$(dirname "$0")/.."
build=${BUILD:-build}
RANDOM=${SEED:-1}
dir=$build/test/diskerrors
count=10
[ -z "${LONG:-}" ] || count=200
device=ide-hd,bus=ide.0,unit=0
programs="ls,/;cat,/README;sh,/script;ls,-l,/d;rm,-r,/d;free;ps"
number=0
status=0

# Metadata is where errors hurt: the log, the inodes, the bitmap, the first directories.
sector() {
    case $((RANDOM % 5)) in
    0) echo $((2 + RANDOM % 6)) ;;     # the log's beginning
    1) echo $((196 + RANDOM % 8)) ;;   # the inodes in use
    2) echo $((228 + RANDOM % 12)) ;;  # the bitmap, the root directory, what follows
    3) echo $((240 + RANDOM % 200)) ;; # files
    4) echo $((RANDOM % 1200)) ;;
    esac
}

# A machine whose disk fails as $name.conf says. Minnow must switch it off: QEMU's exit status is
# twice its own plus one.
run() {
    local name=$1 code
    timeout 120 qemu-system-i386 -M pc -cpu max -m 32 -display none -no-reboot -net none \
        -monitor none -icount shift=0,sleep=off -device isa-debug-exit,iobase=0xf4,iosize=1 \
        -serial "file:$name.txt" -serial "file:$name.records" -kernel "$build/guestos/minnow.elf" \
        -append "run=$programs" \
        -drive "file=blkdebug:$name.conf:$name.img,format=raw,if=none,id=disk,rerror=report,werror=report,cache=unsafe" \
        -device "$device,drive=disk" \
        >"$name.qemu" 2>&1
    code=$?
    [ $((code % 2)) = 1 ] && [ $code != 1 ] && return 0
    [ $code = 1 ] && return 0
    echo "QEMU's exit status is $code" >>"$name.txt"
    return 1
}

# A kernel that cannot even begin may say so and stop; any other panic is a defect.
complaints() {
    grep -a 'panic:' "$1.txt" |
        grep -avE 'panic: (no disk with|the log of the disk|the disk cannot be read|cannot start /bin/init)'
}

check() {
    local name=$dir/$1 what=$2
    number=$((number + 1))
    cp "$dir/base.img" "$name.img"
    if run "$name" && [ -z "$(complaints "$name")" ] &&
        "$build/tools/tv-fsck" "$name.img" >"$name.fsck" 2>&1; then
        echo "ok $number - diskerrors/$what"
        rm -f "$name.img"
    else
        status=1
        echo "not ok $number - diskerrors/$what"
        cat "$name.txt" "$name.fsck" 2>/dev/null | tail -n 40 | sed 's/^/  # /'
    fi
}

# error FILE EVENT SECTOR ONCE
error() {
    printf '[inject-error]\nevent = "%s"\nerrno = "5"\nsector = "%s"\nonce = "%s"\n' \
        "$2" "$3" "$4" >"$1"
}

# result TEXT NAME : TAP for the exit status of what came before
result() {
    local code=$?
    number=$((number + 1))
    if [ $code = 0 ]; then
        echo "ok $number - diskerrors/$1"
    else
        status=1
        echo "not ok $number - diskerrors/$1"
        tail -n 40 "$2.txt" | sed 's/^/  # /'
    fi
}

# SYNC must not claim what is not so.
failing_log() {
    local name=$dir/log-${device%%,*} programs="sh,-c,echo x > /x;sync;ls,/"
    cp "$dir/base.img" "$name.img"
    error "$name.conf" write_aio 4 off
    run "$name" && grep -aq 'the disk cannot be written' "$name.txt" &&
        grep -aq '^sync: disk error' "$name.txt" && cmp -s "$dir/base.img" "$name.img"
    result "what cannot be logged is not written, and SYNC says so (${device%%,*})" "$name"
}

# A log of one block, which is to go to the last block of the disk, cannot be read: it must still be
# there for the next start.
unreadable_log() {
    local name=$dir/recovery
    cp "$dir/base.img" "$name.img"
    printf '\1\0\0\0\277\17\0\0' | dd of="$name.img" bs=1 seek=1024 conv=notrunc status=none
    printf 'logged' | dd of="$name.img" bs=1 seek=2048 conv=notrunc status=none
    cp "$name.img" "$name.before"
    error "$name.conf" read_aio 4 on
    run "$name" && grep -aq 'panic: the log of the disk' "$name.txt" &&
        cmp -s "$name.before" "$name.img"
    result "a log that cannot be read is kept" "$name"
    error "$name.conf" read_aio 8000 on
    run "$name" && dd if="$name.img" bs=1 skip=$((4031 * 1024)) count=6 status=none | grep -aq logged
    result "and copied home at the next start" "$name"
}

# A sector that has been read before cannot be read again, once: after the first write, and after a
# file that is larger than the cache has pushed it out. Whoever needs it then fails; the next one
# must find the disk as good as ever.
failing_again() {
    local name=$dir/again$1 programs
    programs="sh,-c,echo x > /x;sync;sh,-c,cat /big | wc;ls,-l,/bin;ls,-l,/home;cat,/README"
    programs="$programs;sh,-c,echo survived > /s;sh,-c,echo survived > /s;cat,/s;sync;free"
    cp "$dir/base.img" "$name.img"
    printf '[set-state]\nevent = "write_aio"\nstate = "1"\nnew_state = "2"\n' >"$name.conf"
    printf '[inject-error]\nevent = "read_aio"\nstate = "2"\nsector = "%s"\nerrno = "5"\nonce = "on"\n' \
        "$1" >>"$name.conf"
    run "$name" && [ -z "$(complaints "$name")" ] &&
        "$build/tools/tv-fsck" "$name.img" >"$name.fsck" 2>&1 && grep -aq '^survived' "$name.txt"
    result "sector $1 cannot be read again, once" "$name"
}

# A bit of the metadata is wrong. Minnow may refuse, report and fail calls; it must not fall, nor
# loop for ever.
damaged() {
    local name=$dir/damaged$1 at byte bit
    cp "$dir/base.img" "$name.img"
    case $((RANDOM % 4)) in
    0) at=$((RANDOM % 40)) ;;                  # the super block
    1) at=$((98 * 1024 + RANDOM % 2048)) ;;    # the inodes in use
    2) at=$((114 * 1024 + RANDOM % 1024)) ;;   # the bitmap
    3) at=$((115 * 1024 + RANDOM % 1024)) ;;   # directories
    esac
    bit=$((RANDOM % 8))
    byte=$(od -An -tu1 -j $at -N 1 "$name.img")
    printf "\\x$(printf %x $((byte ^ 1 << bit)))" | dd of="$name.img" bs=1 seek=$at conv=notrunc status=none
    : >"$name.conf"
    run "$name" && [ -z "$(complaints "$name")" ]
    result "bit $bit of byte $at is wrong" "$name"
}

echo "TAP version 13"
echo "1..$((2 * count + 5 + 8))"
rm -rf "$dir"
mkdir -p "$dir"
cp -r "$build/guestos/disk" "$dir/folder"
head -c 400000 "$build/hypervisor/trivisor.elf" >"$dir/folder/big" # more than the cache holds
cat >"$dir/folder/script" <<'END'
mkdir /d /d/e
echo something > /d/f
cat /bin/sh /bin/ls > /d/g
ln /d/g /d/e/h
sleep 1.1
rm /d/f
echo more >> /d/g
cat /d/g > /d/k
sleep 1.1
cat /d/k | wc
END
"$build/tools/tv-mkfs" --size 4032 "$dir/folder" "$dir/base.img" || exit 1
failing_log
unreadable_log
ide=$device
device=virtio-blk-pci
failing_log
grep -aq 'the disk is a virtio block device' "$dir/log-virtio-blk-pci.txt"
result "that was a virtio disk" "$dir/log-virtio-blk-pci"
device=$ide
for ((i = 196; i < 204; i += 2)); do # inodes: a block of them has two sectors
    failing_again $i
done
for ((i = 228; i < 236; i += 2)); do # the bitmap, and blocks of directories
    failing_again $i
done
for ((i = 0; i < count; i++)); do
    at=$(sector)
    event=read_aio once=on
    [ $((RANDOM % 3)) != 0 ] || event=write_aio
    [ $((RANDOM % 3)) != 0 ] || once=off
    damaged $i
    error "$dir/$i.conf" $event "$at" $once
    check $i "${event%_aio} error at sector $at, $([ $once = on ] && echo once || echo always)"
done
exit $status
