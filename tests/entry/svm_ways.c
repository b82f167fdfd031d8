/* Ways with the VMCB: AMD APM vol. 2 sections 15.5.1, 15.20 and 15.25. */
#include "svm_test.h"

#define ALL ((1u << SVM_BASES) - 1)
#define FEW (B(PROTECTED) | B(REAL) | B(PLAIN) | B(V86))
#define ONE B(PROTECTED)
#define PAGED (B(PROTECTED) | B(RING3) | B(PAE) | B(PLAIN))
#define BROKEN true
#define LEGAL false
#define ADD(field, bits)                                                                           \
    {                                                                                              \
        AT(field), 0, bits                                                                         \
    }
#define TAKE(field, bits)                                                                          \
    {                                                                                              \
        AT(field), bits, 0                                                                         \
    }
#define SET(field, value)                                                                          \
    {                                                                                              \
        AT(field), ~0ull, value                                                                    \
    }
#define EVENT(type, vector) (EVENT_VALID | (uint64_t)(type) << EVENT_TYPE_SHIFT | (vector))
#define TOP (1ull << 63)
#define BIT32 (1ull << 32)
#define ASID                                                                                       \
    {                                                                                              \
        AT(asid), UINT32_MAX, 0                                                                    \
    }

const struct svm_way svm_ways[] = {
    /* EFER */
    {"EFER.SVME clear", ALL, BROKEN, {TAKE(efer, EFER_SVME)}},
    {"EFER bit 1", FEW, BROKEN, {ADD(efer, 2)}},
    {"EFER bit 7", ONE, BROKEN, {ADD(efer, 1u << 7)}},
    {"EFER bit 9", FEW, BROKEN, {ADD(efer, 1u << 9)}},
    {"EFER bit 31", ONE, BROKEN, {ADD(efer, 1u << 31)}},
    {"EFER bit 32", ALL, BROKEN, {ADD(efer, BIT32)}},
    {"EFER bit 63", FEW, BROKEN, {ADD(efer, TOP)}},
    {"EFER.NXE", FEW, LEGAL, {ADD(efer, EFER_NXE)}},
    {"EFER.LME of a CPU without long mode",
     B(REAL) | B(NO_PAGING),
     BROKEN,
     {ADD(efer, EFER_LME)},
     NEEDS_NO_LONG},
    {"EFER.LMA of a CPU without long mode", B(REAL), BROKEN, {ADD(efer, EFER_LMA)}, NEEDS_NO_LONG},
    {"EFER.LMA without LME", B(REAL) | ONE, LEGAL, {ADD(efer, EFER_LMA)}, NEEDS_LONG},
    {"EFER.LME with paging and without PAE",
     B(PROTECTED) | B(PLAIN),
     BROKEN,
     {ADD(efer, EFER_LME)}},
    {"EFER.LME, PG and not PE",
     ONE,
     BROKEN,
     {ADD(efer, EFER_LME), ADD(cr4, CR4_PAE), TAKE(cr0, CR0_PE)}},
    {"EFER.LME, PAE, CS.L and CS.D",
     B(PAE),
     BROKEN,
     {ADD(efer, EFER_LME), {AT(seg[VS_CS].attr), 0, 0x200}}},
    {"EFER.LME, PAE, CS.L and not CS.D",
     B(PAE),
     LEGAL,
     {ADD(efer, EFER_LME), {AT(seg[VS_CS].attr), 0x400, 0x200}},
     NEEDS_LONG},
    /* CR0 */
    {"CR0.NW without CD", ALL, BROKEN, {ADD(cr0, CR0_NW)}},
    {"CR0.NW with CD", ALL, LEGAL, {ADD(cr0, CR0_NW | CR0_CD)}},
    {"CR0.CD", FEW, LEGAL, {ADD(cr0, CR0_CD)}},
    {"CR0 bit 32", ALL, BROKEN, {ADD(cr0, BIT32)}},
    {"CR0 bit 63", FEW, BROKEN, {ADD(cr0, TOP)}},
    {"CR0.WP, TS, EM, MP, NE, AM",
     ALL,
     LEGAL,
     {ADD(cr0, CR0_WP | CR0_TS | CR0_EM | CR0_MP | CR0_NE | CR0_AM)}},
    {"CR0.ET clear", FEW, LEGAL, {TAKE(cr0, CR0_ET)}},
    {"CR0 with reserved bits of the low half", FEW, LEGAL, {ADD(cr0, 1u << 6 | 1u << 20)}},
    {"paged real mode", ONE, LEGAL, {TAKE(cr0, CR0_PE)}},
    /* CR3 */
    {"CR3 with ignored bits", PAGED & ~B(PAE), LEGAL, {ADD(cr3, 0x18)}},
    {"CR3 bit 52 in legacy mode, which has 32 bits", FEW, LEGAL, {ADD(cr3, 1ull << 52)}},
    {"CR3 bit 63 in long mode", B(PAE), BROKEN, {ADD(efer, EFER_LME), ADD(cr3, TOP)}},
    {"CR3 bit 52 in long mode", B(PAE), BROKEN, {ADD(efer, EFER_LME), ADD(cr3, 1ull << 52)}},
    {"CR3 beyond memory in long mode", B(PAE), BROKEN, {ADD(efer, EFER_LME), ADD(cr3, THE_END)}},
    /* CR4 */
    {"CR4 bit 31", ALL, BROKEN, {ADD(cr4, 1u << 31)}},
    {"CR4 bit 25", FEW, BROKEN, {ADD(cr4, 1u << 25)}},
    {"CR4 bit 15", FEW, BROKEN, {ADD(cr4, 1u << 15)}},
    {"CR4.VME of a CPU without it", FEW, BROKEN, {ADD(cr4, CR4_VME)}, NEEDS_NO_VME},
    {"CR4.VMXE", FEW, BROKEN, {ADD(cr4, CR4_VMXE)}},
    {"CR4 bit 32", ALL, BROKEN, {ADD(cr4, BIT32)}},
    {"CR4 bit 63", FEW, BROKEN, {ADD(cr4, TOP)}},
    {"CR4.PSE, TSD, DE, PGE, MCE",
     ALL,
     LEGAL,
     {ADD(cr4, CR4_PSE | CR4_TSD | CR4_DE | CR4_PGE | CR4_MCE)}},
    {"CR4.PAE without paging", B(NO_PAGING) | B(REAL), LEGAL, {ADD(cr4, CR4_PAE)}},
    /* DR6, DR7 */
    {"DR6 bit 32", ALL, BROKEN, {ADD(dr6, BIT32)}},
    {"DR6 bit 63", FEW, BROKEN, {ADD(dr6, TOP)}},
    {"DR7 bit 32", ALL, BROKEN, {ADD(dr7, BIT32)}},
    {"DR7 bit 63", FEW, BROKEN, {ADD(dr7, TOP)}},
    {"DR6 of ones", FEW, LEGAL, {ADD(dr6, UINT32_MAX)}},
    {"DR7 0", FEW, LEGAL, {SET(dr7, 0)}},
    /* control area */
    {"no VMRUN intercept", ALL, BROKEN, {TAKE(intercept_misc2, MISC2_VMRUN)}},
    {"no intercepts of VMMCALL and VMLOAD", FEW, LEGAL, {TAKE(intercept_misc2, 6)}},
    {"ASID 0", ALL, BROKEN, {ASID}},
    {"ASID 2", FEW, LEGAL, {{AT(asid), 1, 2}}},
    {"I/O map at the end of memory", ALL, BROKEN, {SET(iopm_hpa, THE_END)}},
    {"I/O map in the last page of memory", FEW, BROKEN, {SET(iopm_hpa, LAST_PAGE)}},
    {"I/O map with bit 63", FEW, BROKEN, {ADD(iopm_hpa, TOP)}},
    {"I/O map in the last page of 64 bits", FEW, BROKEN, {SET(iopm_hpa, ~0xFFFull)}},
    {"I/O map not aligned, which is ignored", FEW, LEGAL, {ADD(iopm_hpa, 0xFFF)}},
    {"MSR map at the end of memory", ALL, BROKEN, {SET(msrpm_hpa, THE_END)}},
    {"MSR map in the last page of memory", FEW, BROKEN, {SET(msrpm_hpa, LAST_PAGE)}},
    {"MSR map with bit 63", FEW, BROKEN, {ADD(msrpm_hpa, TOP)}},
    {"MSR map not aligned, which is ignored", FEW, LEGAL, {ADD(msrpm_hpa, 0xFFF)}},
    {"virtual interrupt that waits", FEW, LEGAL, {ADD(virtual_interrupt, V_IRQ | V_PRIORITY_MAX)}},
    {"TSC offset", FEW, LEGAL, {SET(tsc_offset, ~0ull)}},
    /* events */
    {"event of type 1", FEW, BROKEN, {SET(event_injection, EVENT(1, 32))}},
    {"event of type 5", ALL, BROKEN, {SET(event_injection, EVENT(5, 3))}},
    {"event of type 6", FEW, BROKEN, {SET(event_injection, EVENT(6, 3))}},
    {"event of type 7", FEW, BROKEN, {SET(event_injection, EVENT(7, 0))}},
    {"event of type 7, not valid", FEW, LEGAL, {SET(event_injection, 7 << EVENT_TYPE_SHIFT)}},
    {"exception 2", ALL, BROKEN, {SET(event_injection, EVENT(EVENT_TYPE_EXCEPTION, 2))}},
    {"exception 32", FEW, BROKEN, {SET(event_injection, EVENT(EVENT_TYPE_EXCEPTION, 32))}},
    {"exception 255", FEW, BROKEN, {SET(event_injection, EVENT(EVENT_TYPE_EXCEPTION, 255))}},
    {"exception 31", ONE, LEGAL, {SET(event_injection, EVENT(EVENT_TYPE_EXCEPTION, 31))}},
    {"#UD", FEW, LEGAL, {SET(event_injection, EVENT(EVENT_TYPE_EXCEPTION, VEC_UD))}},
    {"interrupt 0", FEW, LEGAL, {SET(event_injection, EVENT(EVENT_TYPE_INTR, 0))}},
    {"interrupt with IF clear", B(IRQ), LEGAL, {TAKE(rflags, FL_IF)}},
    {"interrupt in the shadow", B(IRQ), LEGAL, {ADD(interrupt_shadow, 1)}},
    {"NMI with vector 3, which is ignored", ONE, LEGAL, {SET(event_injection, EVENT(2, 3))}},
    {"INT3", ONE, LEGAL, {SET(event_injection, EVENT(EVENT_TYPE_SOFT, VEC_BP))}},
    /* nested paging */
    {"PAT entry 0 of type 2", B(PROTECTED) | B(REAL), BROKEN, {{AT(pat), 0xFF, 2}}, NEEDS_NESTED},
    {"PAT entry 7 of type 8",
     B(PROTECTED),
     BROKEN,
     {{AT(pat), 0xFFull << 56, 8ull << 56}},
     NEEDS_NESTED},
    {"impossible PAT without nested paging", B(PLAIN), LEGAL, {SET(pat, ~0ull)}},
    {"nested CR3 beyond memory",
     B(PROTECTED) | B(REAL),
     BROKEN,
     {ADD(nested_cr3, THE_END)},
     NEEDS_NESTED},
    {"nested CR3 with bit 63", B(PROTECTED), BROKEN, {ADD(nested_cr3, TOP)}, NEEDS_NESTED},
    {"broken nested CR3 that is not used", B(PLAIN), LEGAL, {ADD(nested_cr3, TOP)}},
    {"nested paging, and the host's paging off",
     B(PROTECTED),
     BROKEN,
     {{0, 0, 0}},
     HOST_PAGING_OFF | NEEDS_NESTED},
    {"the host's paging off without nested paging", B(PLAIN), LEGAL, {{0, 0, 0}}, HOST_PAGING_OFF},
    {"PDPTE with a reserved bit",
     B(PLAIN_PAE),
     BROKEN,
     {{AT(cr3), ~0ull, GUEST_PAGE(PAGE_BAD_PDPT)}}},
    {"PDPTE with a reserved bit, nested",
     B(PAE),
     LEGAL,
     {{AT(cr3), ~0ull, GUEST_PAGE(PAGE_BAD_PDPT)}},
     NEEDS_NESTED},
    /* segments and flags: none is checked */
    {"CS not present", PAGED, LEGAL, {{AT(seg[VS_CS].attr), SEG_P, 0}}},
    {"CS data", PAGED, LEGAL, {{AT(seg[VS_CS].attr), SEG_CODE, 0}}},
    {"CS a system segment", PAGED, LEGAL, {{AT(seg[VS_CS].attr), SEG_S, 0}}},
    {"SS code", PAGED, LEGAL, {{AT(seg[VS_SS].attr), 0, SEG_CODE}}},
    {"SS not present", PAGED, LEGAL, {{AT(seg[VS_SS].attr), SEG_P, 0}}},
    {"CPL 3 with SS.DPL 0", ONE, LEGAL, {{AT(cpl), 0xFF, 3}}},
    {"limits without their granularity",
     FEW,
     LEGAL,
     {{AT(seg[VS_DS].limit), UINT32_MAX, 0x12345678}}},
    {"descriptor-table limits of 17 bits", FEW, LEGAL, {{AT(seg[VS_GDTR].limit), 0, 0x10000}}},
    {"CS.L and CS.D outside of long mode", ONE, LEGAL, {{AT(seg[VS_CS].attr), 0, 0x200}}},
    {"EFLAGS bit 1 clear", FEW, LEGAL, {TAKE(rflags, FL_R1)}},
    {"EFLAGS of ones in the low half", ONE, LEGAL, {ADD(rflags, 0x3D4ED5)}},
};
const unsigned svm_way_count = ARRAY_LEN(svm_ways);
