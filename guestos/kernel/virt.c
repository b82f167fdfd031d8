/* What lies below us: the paravirtual note that announces this kernel, and CPUID's answers. */
#include "kernel.h"
#include "sensitive.h"

extern const struct pv_site pv_sites_start[], pv_sites_end[];
extern char hypercall_page[];

/* The shared page: nothing else may be on it. */
static union {
    volatile struct pv_shared shared;
    char page[PAGE_SIZE];
} pv __attribute__((aligned(PAGE_SIZE)));

/* ELF note: name, descriptor (pv_abi.h, section 1). */
static const struct {
    uint32_t name_size, desc_size, type;
    char name[12];
    const void *abi_version, *hypercall, *shared, *sites, *sites_end;
} note __attribute__((section(".note.trivisor"), used, aligned(4))) = {
    9,   sizeof(struct pv_note), PV_NOTE_TYPE, "Trivisor", (void *)PV_ABI_VERSION, hypercall_page,
    &pv, pv_sites_start,         pv_sites_end,
};

bool pv_active(void)
{
    return pv.shared.version == PV_ABI_VERSION;
}

bool pv_has(uint32_t feature)
{
    return pv_active() && (pv.shared.features & feature);
}

void pv_clock(struct pv_clock *clock)
{
    uint32_t version;
    do {
        version = pv.shared.clock_version;
        clock->tsc_khz = pv.shared.tsc_khz;
        clock->tsc_base = (uint64_t)pv.shared.tsc_base[1] << 32 | pv.shared.tsc_base[0];
        clock->wall_seconds = pv.shared.wall_seconds;
    } while ((version & 1) || version != pv.shared.clock_version);
}

/* This kernel reaches the memory of programs through its own mapping alone: changes of their
 * translations may wait until they run. */
void pv_init(void)
{
    pv.shared.queue_limit = PV_QUEUE_MAX;
}

static int32_t call(uint32_t number, uint32_t eax, uint32_t edx, uint32_t ebx)
{
    __asm__ volatile("call hypercall_page"
                     : "+a"(eax), "+c"(number)
                     : "d"(edx), "b"(ebx)
                     : "cc", "memory");
    return (int32_t)eax;
}

int32_t pv_null_call(void)
{
    return call(PV_CALL_NULL, 0, 0, 0);
}

/* Should the VMM withdraw between the question and the call, the page answers. */
int32_t pv_timer(uint64_t tsc, uint32_t vector)
{
    if (!pv_has(PV_HAS_TIMER))
        return PV_E_UNKNOWN;
    return call(PV_CALL_TIMER, (uint32_t)tsc, (uint32_t)(tsc >> 32), vector);
}

#define HYPERVISOR_PRESENT 0x80000000u

void virt_probe(struct hvinfo *info)
{
    uint32_t r[4];
    memset(info, 0, sizeof(*info));
    info->total_sites = (uint32_t)(pv_sites_end - pv_sites_start);
    info->pv_version = pv.shared.version;
    info->patched_sites = pv_active() ? pv.shared.patched_sites : 0;
    cpu_cpuid(1, r);
    if (!(r[2] & HYPERVISOR_PRESENT))
        return;
    info->present = 1;
    cpu_cpuid(0x40000000u, r);
    memcpy(info->signature, &r[1], 12);
    if (!strcmp(info->signature, "TrivisorTriv")) {
        cpu_cpuid(0x40000001u, r);
        info->mode = r[0];
    }
}
