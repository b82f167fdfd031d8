/*
 * VMX operation of this CPU (SDM vol. 3C sections 23.7, 24.1 and 31.5). Entered by the first user
 * and left by the last one, so that several VMs can be in this mode; each has its own VMCS and, as
 * long as they last, its own VPID.
 */
#include "cpu.h"
#include "vmm.h"
#include "vmx.h"
#include "x86.h"

#define VPIDS 32 /* 1 .. 31 are given out; 0 is the host's own */

static struct {
    void *region; /* what VMXON wants */
    unsigned users;
    const struct vmx *current; /* whose VMCS is current */
    uint32_t vpids;            /* bit n: VPID n is in use */
} cpu = {.vpids = 1};

/* VMXON, VMCLEAR and VMPTRLD take the address of a 64-bit physical address. */
#define VMX_POINTER_INSTRUCTION(name)                                                              \
    static bool name(const void *page)                                                             \
    {                                                                                              \
        const uint64_t hpa = ptr_to_hpa(page);                                                     \
        bool failed;                                                                               \
        __asm__ volatile(#name " %1\n\tsetna %0" : "=q"(failed) : "m"(hpa) : "cc", "memory");      \
        return !failed;                                                                            \
    }
VMX_POINTER_INSTRUCTION(vmxon)
VMX_POINTER_INSTRUCTION(vmclear)
VMX_POINTER_INSTRUCTION(vmptrld)
#undef VMX_POINTER_INSTRUCTION

/* INVEPT and INVVPID: section 30.3. */
static void invept(uint32_t type, uint64_t ept_pointer)
{
    const uint64_t descriptor[2] = {ept_pointer, 0};
    __asm__ volatile("invept %0, %1" : : "m"(descriptor), "r"(type) : "cc", "memory");
}

static void invvpid(uint32_t type, uint16_t vpid)
{
    const uint64_t descriptor[2] = {vpid, 0};
    __asm__ volatile("invvpid %0, %1" : : "m"(descriptor), "r"(type) : "cc", "memory");
}

static void *region_alloc(uint32_t revision)
{
    uint32_t *region = page_alloc();
    if (region)
        *region = revision;
    return region;
}

static const char *enter_operation(const struct vmx_controls *c)
{
    cpu.region = region_alloc(c->revision);
    if (!cpu.region)
        return "too little memory for the VMXON region";
    if (!(rdmsr(MSR_FEATURE_CONTROL) & FEATURE_LOCKED))
        wrmsr(MSR_FEATURE_CONTROL, FEATURE_LOCKED | FEATURE_VMXON);
    write_cr0(read_cr0() | c->cr0_on);
    write_cr4(read_cr4() | CR4_VMXE);
    if (vmxon(cpu.region))
        return NULL;
    write_cr4(read_cr4() & ~CR4_VMXE);
    page_free(cpu.region);
    return "VMXON failed";
}

static void leave_operation(void)
{
    __asm__ volatile("vmxoff" : : : "cc");
    write_cr4(read_cr4() & ~CR4_VMXE);
    page_free(cpu.region);
}

static uint16_t vpid_alloc(const struct vmx_controls *c)
{
    for (uint16_t vpid = 1; (c->word[WORD_CPU2] & CPU2_VPID) && vpid < VPIDS; vpid++) {
        if (!(cpu.vpids & 1u << vpid)) {
            cpu.vpids |= 1u << vpid;
            return vpid;
        }
    }
    return 0;
}

const char *vmx_open(struct vmx *vmx)
{
    vmx->vmcs = region_alloc(vmx->controls.revision);
    if (!vmx->vmcs)
        return "too little memory for the VMCS";
    const char *why = cpu.users ? NULL : enter_operation(&vmx->controls);
    if (why) {
        page_free(vmx->vmcs);
        return why;
    }
    cpu.users++;
    vmx->vpid = vpid_alloc(&vmx->controls);
    ASSERT(vmclear(vmx->vmcs));
    vmx_make_current(vmx);
    /* Entries of an earlier user of these pages or of this VPID may linger (section 28.3.3.3). */
    if (!vmx->paging.shadowed)
        invept(vmx->controls.invept_type, ptr_to_hpa(vmx->paging.map.root));
    vmx_flush(vmx);
    return NULL;
}

void vmx_close(struct vmx *vmx)
{
    ASSERT(vmclear(vmx->vmcs));
    cpu.current = NULL;
    if (vmx->vpid)
        cpu.vpids &= ~(1u << vmx->vpid);
    page_free(vmx->vmcs);
    if (--cpu.users == 0)
        leave_operation();
}

void vmx_make_current(struct vmx *vmx)
{
    if (cpu.current == vmx)
        return;
    ASSERT(vmptrld(vmx->vmcs));
    cpu.current = vmx;
}

/* Without a VPID every VM entry and exit flushes (section 28.3.3.1). */
void vmx_flush(const struct vmx *vmx)
{
    if (vmx->vpid)
        invvpid(vmx->controls.invvpid_type, vmx->vpid);
}
