/* tv-iso: write one boot image with a menu of every mode. `make iso` calls it. */
#include <stdio.h>

#include "lib/iso.h"
#include "lib/util.h"

int main(int argc, char **argv)
{
    char *error;
    if (argc != 2)
        die(STATUS_USAGE, "usage: tv-iso IMAGE.iso");
    if (!iso_menu(argv[1], &error))
        die(1, "%s", error);
    printf("%s: boot it in any emulator, for example\n"
           "  qemu-system-i386 -cpu max -m 128 -boot d -cdrom %s -hda %s -serial mon:stdio\n"
           "(and make a copy of the disk first if what the guest writes shall not stay there)\n",
           argv[1], argv[1], ISO_DISK);
    return 0;
}
