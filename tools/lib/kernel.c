#include "kernel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "multiboot.h"
#include "util.h"

char *kernel_open(struct kernel_file *kernel, const char *path)
{
    const void *desc;
    uint32_t size;
    struct pv_note *note = &kernel->note;
    *kernel = (struct kernel_file){0};
    kernel->bytes = read_file(path, &kernel->size);
    if (!kernel->bytes)
        return xasprintf("cannot read %s: %s", path, strerror(errno));
    if (!multiboot_find_note(kernel->bytes, (uint32_t)kernel->size, "Trivisor", PV_NOTE_TYPE, &desc,
                             &size) ||
        size < sizeof(*note))
        return xasprintf("%s has no paravirtual note", path);
    memcpy(note, desc, sizeof(*note));
    if (note->abi_version != PV_ABI_VERSION)
        return xasprintf("%s wants version %u of the paravirtual ABI, this is %d", path,
                         note->abi_version, PV_ABI_VERSION);
    kernel->site_count = (note->sites_end - note->sites) / sizeof(struct pv_site);
    kernel->sites = elf_file_bytes(kernel->bytes, (uint32_t)kernel->size, note->sites,
                                   note->sites_end - note->sites);
    return kernel->sites ? NULL : xasprintf("the site table is not inside %s", path);
}

void kernel_close(struct kernel_file *kernel)
{
    free(kernel->bytes);
    *kernel = (struct kernel_file){0};
}

const uint8_t *kernel_bytes(const struct kernel_file *kernel, uint32_t gva)
{
    return elf_file_bytes(kernel->bytes, (uint32_t)kernel->size, gva, PV_SITE_LEN);
}

char *kernel_symbol(const struct kernel_file *kernel, uint32_t gva)
{
    uint32_t offset = 0;
    const char *name = elf_symbol(kernel->bytes, (uint32_t)kernel->size, gva, &offset);
    return name ? xasprintf("%s+0x%x", name, offset) : xasprintf("?");
}
