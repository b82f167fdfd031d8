/* The programs, embedded in the kernel at build time (archive_data.asm is generated). */
#include "kernel.h"

const struct archive_entry *archive_find(const char *name)
{
    for (uint32_t i = 0; i < archive_count; i++) {
        if (!strcmp(archive[i].name, name))
            return &archive[i];
    }
    return NULL;
}
