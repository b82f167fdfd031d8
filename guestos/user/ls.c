/* List the archive: name and size in bytes. */
#include "lib.h"

int main(int argc, char **argv)
{
    struct dirent d;
    (void)argc;
    (void)argv;
    for (uint32_t i = 0; system_call(SYS_DIRENT, i, (uint32_t)&d, 0) == 0; i++)
        printf("%-15s %6u\n", d.name, d.size);
    return 0;
}
