/* Where C begins. */
#include "kernel.h"

#define MULTIBOOT_MAGIC 0x2BADB002u
#define INFO_CMDLINE 4u

static const char *command_line(uint32_t info_pa)
{
    const uint32_t *info = phys_to_virt(info_pa);
    return (info[0] & INFO_CMDLINE) && info[4] < 0x400000 ? phys_to_virt(info[4]) : "";
}

void kernel_main(uint32_t magic, uint32_t info_pa);
void kernel_main(uint32_t magic, uint32_t info_pa)
{
    static char line[512];
    console_init();
    if (magic != MULTIBOOT_MAGIC)
        panic("not started by a Multiboot boot loader (magic %x)", magic);
    const char *given = command_line(info_pa);
    for (unsigned i = 0; i + 1 < sizeof(line) && given[i]; i++)
        line[i] = given[i];
    memory_init(info_pa);
    pv_init();
    cpu_init();
    console_listen();
    kprintf("minnow: %u KB of memory free\n", memory_free_pages() * 4);
    process_init(line);
}
