/* tv-mkfs: make a disk image with Minnow's file system from a folder. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/choose.h"
#include "lib/minnowfs.h"

static const char usage[] =
    "usage: tv-mkfs [--size=KB] [--inodes=N] FOLDER IMAGE\n"
    "  --size=KB    size of the image (default 4032, at most 8192)\n"
    "  --inodes=N   how many files and folders it can hold (default 256)\n"
    "The same folder always gives the same image: dates, owners and modes are not kept. Symbolic\n"
    "links and special files are refused. tv-fsck checks, lists and reads images.\n";

static const struct option options[] = {
    {"size", 1, NULL, 's'},
    {"inodes", 1, NULL, 'i'},
    {"help", 0, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

int main(int argc, char **argv)
{
    uint32_t blocks = 4032, inodes = 256;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 's')
            blocks = choose_number("--size", optarg, 128, FS_BLOCKS_MAX);
        else if (c == 'i')
            inodes = choose_number("--inodes", optarg, 2, 65536);
        else if (c == 'h')
            return fputs(usage, stdout), 0;
        else
            return STATUS_USAGE;
    }
    if (argc - optind != 2)
        die(STATUS_USAGE, "give a folder and an image (try --help)");
    char *error;
    uint8_t *image = minnowfs_make(argv[optind], blocks, inodes, &error);
    if (!image)
        die(1, "%s", error);
    write_file(argv[optind + 1], image, (size_t)blocks * FS_BLOCK);
    free(image);
    return 0;
}
