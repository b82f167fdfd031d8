/* VT-x under test: the VMCS, its valid base states, and the ways to break them. */
#ifndef ENTRY_VMX_TEST_H
#define ENTRY_VMX_TEST_H

#include "entry.h"
#include "vmx/vmx.h"

extern struct vmx_capabilities vmx_cpu;

/* --- vmx_machine.c --- */

/* Raw access; a field that is not there reads as 0 and takes no write. */
bool field_exists(uint32_t encoding);
uint32_t field(enum vmcs_field field);
void field_set(uint32_t encoding, uint32_t value);
void field_set64(enum vmcs_field field, uint64_t value);
/* May all these bits be one, and none of `zero` has to be? */
bool controls_offered(enum vmx_word word, uint32_t one, uint32_t zero);
/* Try the entry that the VMCS describes. */
enum verdict vmx_try(void);
/* The checker's walk through the VMCS. */
void vmx_ask(void);

/* Pages that are not the guest's. */
enum {
    OWN_VIRTUAL_APIC,
    OWN_BITMAP_A,
    OWN_BITMAP_B,
    OWN_MSR_BITMAP,
    OWN_LINKED,
    OWN_MSRS,
    OWN_PAGES
};
extern uint8_t vmx_pages[OWN_PAGES][PAGE_SIZE];
extern void *vmx_region; /* the VMCS */
extern uint64_t ept_root;
/* What MSR entries the page OWN_MSRS holds, 16 bytes each. */
enum { MSRS_GOOD, MSRS_FS, MSRS_GS, MSRS_X2APIC, MSRS_NUMBER, MSRS_EFER, MSRS_PAT, MSRS_SMM };

/* --- vmx_bases.c --- */

enum vmx_base {
    BASE_PROTECTED,
    BASE_RING3,
    BASE_PAE,
    BASE_V86,
    BASE_PLAIN,     /* without secondary controls */
    BASE_PLAIN_PAE, /* so that PDPTEs come from memory */
    BASE_FREE,      /* an unrestricted guest with paging */
    BASE_NO_PAGING,
    BASE_REAL,
    BASE_IRQ, /* these inject an event */
    BASE_NMI,
    BASE_FAULT,
    BASE_SOFT,
    BASE_STI, /* these block events */
    BASE_MOV_SS,
    BASE_STEP,
    BASE_HLT,
    BASE_COUNT
};
#define B(name) (1u << BASE_##name)
extern const char *const base_names[BASE_COUNT];
/* The whole VMCS anew. False: this CPU cannot have that base. */
bool base_make(enum vmx_base base);

/* --- the ways: vmx_ways_*.c --- */

struct edit {
    uint16_t field; /* encoding */
    uint32_t clear, set;
};
#define SET(name, value)                                                                           \
    {                                                                                              \
        VMCS_##name, UINT32_MAX, value                                                             \
    }
#define SET_HIGH(name, value)                                                                      \
    {                                                                                              \
        VMCS_##name + 1, UINT32_MAX, value                                                         \
    }
#define ADD(name, bits)                                                                            \
    {                                                                                              \
        VMCS_##name, 0, bits                                                                       \
    }
#define ADD_HIGH(name, bits)                                                                       \
    {                                                                                              \
        VMCS_##name + 1, 0, bits                                                                   \
    }
#define TAKE(name, bits)                                                                           \
    {                                                                                              \
        VMCS_##name, bits, 0                                                                       \
    }
#define PUT(name, mask, bits)                                                                      \
    {                                                                                              \
        VMCS_##name, mask, bits                                                                    \
    }

/* Edits of controls that this CPU does not offer leave the way out, but for RAW ones. */
struct way {
    const char *name;
    uint32_t bases; /* B() bits */
    enum verdict expected;
    struct edit edits[5];
    bool raw;
};
struct way_list {
    const struct way *ways;
    unsigned count;
};
extern const struct way_list control_ways, host_ways, guest_ways, segment_ways;
/* As the value of a high half: the first bit above what the CPU has of physical addresses. */
#define BEYOND 0xDEADu
/* The same: all bits below that. */
#define BELOW 0xDEAEu
/* As values of a low half: the address of a page with the right revision, and of the VMCS. */
#define ANOTHER_VMCS 0xDEAD1000u
#define THIS_VMCS 0xDEAD2000u

/* --- vmx_random.c --- */
void vmx_random(uint32_t seed, uint32_t number);
/* vmx_run.c: entry, verdicts, report of one VMCS that is ready. */
void vmx_compare(const char *base, const char *way, bool named);

/* --- vmx_known.c --- */
extern struct unchecked vmx_unchecked[];
extern struct too_strict vmx_too_strict[];
extern struct deadly vmx_deadly[];

#endif
