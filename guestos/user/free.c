/* Print total, used and free memory in KB. */
#include "lib.h"

int main(int argc, char **argv)
{
    struct meminfo m;
    (void)argc;
    (void)argv;
    if (system_call(SYS_MEMINFO, (uint32_t)&m, 0, 0) < 0)
        return 1;
    printf("total %u KB, used %u KB, free %u KB\n", m.total_pages * 4,
           (m.total_pages - m.free_pages) * 4, m.free_pages * 4);
    return 0;
}
