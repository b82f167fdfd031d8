/* tv-iso: write one boot image with a menu of every mode. `make iso` calls it. */
#include <stdio.h>
#include <string.h>

#include "lib/iso.h"
#include "lib/util.h"

int main(int argc, char **argv)
{
    char *error;
    const char usage[] = "usage: tv-iso IMAGE.iso   writes a boot image with a menu of all modes";
    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")))
        return puts(usage) < 0;
    if (argc != 2 || argv[1][0] == '-')
        die(STATUS_USAGE, "%s", usage);
    if (!iso_menu(argv[1], &error))
        die(1, "%s", error);
    printf("%s: boot it in any emulator, with a copy of Minnow's disk, for example\n"
           "  cp %s my.img\n"
           "  qemu-system-i386 -cpu max -m 128 -boot d -cdrom %s -drive file=my.img,format=raw \\\n"
           "    -serial mon:stdio -device isa-debug-exit,iobase=0xf4,iosize=1\n",
           argv[1], ISO_DISK, argv[1]);
    return 0;
}
