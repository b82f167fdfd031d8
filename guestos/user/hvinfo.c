/* Tell whether and how this kernel is virtualized. */
#include "lib.h"

int main(int argc, char **argv)
{
    static const char *const modes[] = {"unknown", "trap-and-emulate", "paravirtualization", "VT-x",
                                        "AMD-V"};
    struct hvinfo h;
    (void)argc;
    (void)argv;
    if (system_call(SYS_HVINFO, (uint32_t)&h, 0, 0) < 0)
        return 1;
    if (!h.present) {
        printf("hypervisor: none that CPUID tells of\n");
    } else {
        printf("hypervisor: %s\n", h.signature);
        printf("mode: %s\n", modes[h.mode < 5 ? h.mode : 0]);
    }
    printf("sites: %u recorded, %u patched (ABI version %u)\n", h.total_sites, h.patched_sites,
           h.pv_version);
    return 0;
}
