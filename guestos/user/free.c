/* Print what there is and what is free of memory and disk, and what the kernel's tables hold. */
#include "lib.h"

static void line(const char *name, uint32_t total, uint32_t left)
{
    printf("%-14s %7u %7u %7u\n", name, total, total - left, left);
}

int main(int argc, char **argv)
{
    struct sysinfo s;
    (void)argv;
    if (argc > 1) {
        dprintf(2, "use: free\n");
        return 2;
    }
    const int error = sysinfo(&s);
    if (error < 0) {
        dprintf(2, "free: %s\n", error_text(error));
        return 1;
    }
    printf("%-14s %7s %7s %7s\n", "", "total", "used", "free");
    line("memory, KB", s.total_pages * 4, s.free_pages * 4);
    line("disk, KB", s.total_blocks, s.free_blocks); /* a block has 1 KB */
    line("disk, inodes", s.total_inodes, s.free_inodes);
    printf("kernel tables: %u processes, %u open files, %u pipes, %u inodes in use\n", s.processes,
           s.open_files, s.pipes, s.inodes_in_use);
    return 0;
}
