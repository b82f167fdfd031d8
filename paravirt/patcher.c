/* The patcher; see patcher.h. Encodings: SDM vol. 2. */
#include "patcher.h"

#include <string.h>

#include "gmem.h"
#include "multiboot.h"
#include "vmm.h"

#define OFF(field) ((uint32_t)offsetof(struct pv_shared, field))
#define FLAGS_BYTE (OFF(virtual_flags) + 1) /* has IF, IOPL and PV_EVENT_PENDING */
#define BYTE_IF 0x02u
#define BYTE_IF_IOPL 0x32u
#define BYTE_PENDING 0x80u
_Static_assert(PV_EVENT_PENDING == BYTE_PENDING << 8, "pv_abi.h");

struct plain {
    const char *name;
    uint8_t len, bytes[4];
};

static const struct plain plain[PV_OP_COUNT] = {
    [PV_OP_CLI] = {"cli", 1, {0xFA}},
    [PV_OP_STI] = {"sti", 1, {0xFB}},
    [PV_OP_PUSHF] = {"pushf", 2, {0x9C, 0x58}},
    [PV_OP_POPF] = {"popf", 2, {0x50, 0x9D}},
    [PV_OP_IRET] = {"iret", 1, {0xCF}},
    [PV_OP_HLT] = {"hlt", 1, {0xF4}},
    [PV_OP_STI_HLT] = {"sti-hlt", 2, {0xFB, 0xF4}},
    [PV_OP_IN8] = {"in8", 1, {0xEC}},
    [PV_OP_IN16] = {"in16", 2, {0x66, 0xED}},
    [PV_OP_IN32] = {"in32", 1, {0xED}},
    [PV_OP_OUT8] = {"out8", 1, {0xEE}},
    [PV_OP_OUT16] = {"out16", 2, {0x66, 0xEF}},
    [PV_OP_OUT32] = {"out32", 1, {0xEF}},
    [PV_OP_READ_CR0] = {"read-cr0", 3, {0x0F, 0x20, 0xC0}},
    [PV_OP_WRITE_CR0] = {"write-cr0", 3, {0x0F, 0x22, 0xC0}},
    [PV_OP_READ_CR2] = {"read-cr2", 3, {0x0F, 0x20, 0xD0}},
    [PV_OP_READ_CR3] = {"read-cr3", 3, {0x0F, 0x20, 0xD8}},
    [PV_OP_WRITE_CR3] = {"write-cr3", 3, {0x0F, 0x22, 0xD8}},
    [PV_OP_READ_CR4] = {"read-cr4", 3, {0x0F, 0x20, 0xE0}},
    [PV_OP_WRITE_CR4] = {"write-cr4", 3, {0x0F, 0x22, 0xE0}},
    [PV_OP_INVLPG] = {"invlpg", 3, {0x0F, 0x01, 0x38}},
    [PV_OP_CPUID] = {"cpuid", 2, {0x0F, 0xA2}},
    [PV_OP_SET_PTE] = {"set-pte", 2, {0x89, 0x02}},
    [PV_OP_SWITCH_CR3] = {"switch-cr3", 3, {0x0F, 0x22, 0xD8}},
    [PV_OP_DROP_SPACE] = {"drop-space", 0, {0}},
    [PV_OP_INSW] = {"insw", 3, {0x66, 0xF3, 0x6D}},
    [PV_OP_OUTSW] = {"outsw", 3, {0x66, 0xF3, 0x6F}},
    [PV_OP_LGDT] = {"lgdt", 3, {0x0F, 0x01, 0x10}},
    [PV_OP_LIDT] = {"lidt", 3, {0x0F, 0x01, 0x18}},
    [PV_OP_LTR] = {"ltr", 3, {0x0F, 0x00, 0xD8}},
    [PV_OP_LLDT] = {"lldt", 3, {0x0F, 0x00, 0xD0}},
};

const char *pv_op_name(uint8_t op)
{
    return op < PV_OP_COUNT && plain[op].name ? plain[op].name : "?";
}

/* Fill n bytes (1, 2, 3, 5, 6, 7, 8) with one NOP of the recommended form: SDM vol. 2B, NOP. */
static void put_nop(uint8_t *p, unsigned n)
{
    static const uint8_t nops[9][8] = {
        [1] = {0x90},
        [2] = {0x66, 0x90},
        [3] = {0x0F, 0x1F, 0x00},
        [5] = {0x0F, 0x1F, 0x44, 0x00, 0x00},
        [6] = {0x66, 0x0F, 0x1F, 0x44, 0x00, 0x00},
        [7] = {0x0F, 0x1F, 0x80, 0x00, 0x00, 0x00, 0x00},
        [8] = {0x0F, 0x1F, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
    };
    memcpy(p, nops[n], n);
}

bool pv_plain_bytes(uint8_t op, uint8_t out[PV_SITE_LEN])
{
    if (op >= PV_OP_COUNT || !plain[op].name)
        return false;
    memcpy(out, plain[op].bytes, plain[op].len);
    put_nop(out + plain[op].len, PV_SITE_LEN - plain[op].len);
    return true;
}

bool pv_is_patched(uint8_t op, uint32_t features)
{
    switch (op) {
    case PV_OP_IN8:
    case PV_OP_IN16:
    case PV_OP_IN32:
    case PV_OP_OUT8:
    case PV_OP_OUT16:
    case PV_OP_OUT32:
        return features & PV_FEATURE_IO;
    case PV_OP_SET_PTE:
    case PV_OP_SWITCH_CR3:
    case PV_OP_DROP_SPACE:
        return features & PV_FEATURE_MMU;
    case PV_OP_INSW:
    case PV_OP_OUTSW:
    case PV_OP_LGDT:
    case PV_OP_LIDT:
    case PV_OP_LTR:
    case PV_OP_LLDT:
        return false;
    default:
        return op < PV_OP_COUNT && plain[op].name;
    }
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        *p++ = (uint8_t)(v >> 8 * i);
    return p;
}

static uint8_t *put_bytes(uint8_t *p, const uint8_t *bytes, unsigned n)
{
    memcpy(p, bytes, n);
    return p + n;
}
#define PUT(p, ...)                                                                                \
    put_bytes(p, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Is the patched form a call of the operation's stub? */
static bool is_call(uint8_t op, uint32_t features)
{
    switch (op) {
    case PV_OP_IRET:
        return false;
    case PV_OP_CLI:
        return !(features & PV_FEATURE_STI);
    case PV_OP_READ_CR0:
    case PV_OP_READ_CR2:
        return !(features & PV_FEATURE_CR);
    default:
        return true;
    }
}

#define CALL_LEN 5u

static void put_call(const struct pv_note *note, uint8_t op, uint32_t site, uint8_t *out)
{
    out = PUT(out, 0xE8);
    out = put32(out, note->hypercall_page + op * PV_STUB_SIZE - (site + CALL_LEN));
    put_nop(out, PV_SITE_LEN - CALL_LEN);
}

void pv_patched_bytes(const struct pv_note *note, uint8_t op, uint32_t features, uint32_t site,
                      uint8_t out[PV_SITE_LEN])
{
    if (!pv_is_patched(op, features)) {
        pv_plain_bytes(op, out);
        return;
    }
    if (features & PV_COUNT_SITES) { /* int PV_GATE_COUNT */
        out = PUT(out, 0xCD, PV_GATE_COUNT);
        put_nop(out, 6);
        return;
    }
    if (is_call(op, features)) {
        put_call(note, op, site, out);
        return;
    }
    switch (op) {
    case PV_OP_CLI: /* ds: and byte [flags + 1], ~IF; the prefix fills the site */
        out = PUT(out, 0x3E, 0x80, 0x25);
        out = put32(out, note->shared_page + FLAGS_BYTE);
        PUT(out, (uint8_t)~BYTE_IF);
        break;
    case PV_OP_READ_CR0: /* mov eax, [cr0] */
    case PV_OP_READ_CR2: /* mov eax, [cr2] */
        out = PUT(out, 0xA1);
        out = put32(out, note->shared_page + (op == PV_OP_READ_CR0 ? OFF(cr0) : OFF(cr2)));
        put_nop(out, 3);
        break;
    default: /* PV_OP_IRET: int PV_GATE_IRET */
        out = PUT(out, 0xCD, PV_GATE_IRET);
        put_nop(out, 6);
    }
}

/* "ecx = number; trap; return" */
static void generic_stub(uint8_t *p, uint32_t number)
{
    p = PUT(p, 0xB9);
    p = put32(p, number);
    PUT(p, 0xCD, PV_GATE_CALL, 0xC3);
}

/* "keep ecx; ecx = number; trap; return": for operations that clobber nothing */
static void keeping_stub(uint8_t *p, uint32_t number)
{
    p = PUT(p, 0x51, 0xB9); /* push ecx; mov ecx, number */
    p = put32(p, number);
    PUT(p, 0xCD, PV_GATE_CALL, 0x59, 0xC3); /* int; pop ecx; ret */
}

/* Set IF; trap only when an event waits for it. */
static void sti_stub(uint8_t *p, const struct pv_note *note)
{
    p = PUT(p, 0x80, 0x0D); /* or byte [flags + 1], IF */
    p = put32(p, note->shared_page + FLAGS_BYTE);
    p = PUT(p, BYTE_IF);
    p = PUT(p, 0x78, 0x01, 0xC3); /* js +1; ret */
    keeping_stub(p, PV_OP_STI);
}

/* eax = the real flags with the virtual IF and IOPL in place of the real ones */
static void pushf_stub(uint8_t *p, const struct pv_note *note)
{
    p = PUT(p, 0x9C, 0x58);                         /* pushf; pop eax */
    p = PUT(p, 0x80, 0xE4, (uint8_t)~BYTE_IF_IOPL); /* and ah, ~(IF | IOPL) */
    p = PUT(p, 0x0B, 0x05);                         /* or eax, [flags] */
    p = put32(p, note->shared_page + OFF(virtual_flags));
    PUT(p, 0x80, 0xE4, (uint8_t)~BYTE_PENDING, 0xC3); /* and ah, ~pending; ret */
}

static void popf_stub(uint8_t *p, const struct pv_note *note)
{
    const uint32_t flags = note->shared_page + FLAGS_BYTE;
    p = PUT(p, 0x50, 0x9D);               /* push eax; popf: all that CPL 3 may change */
    p = PUT(p, 0x80, 0xE4, BYTE_IF_IOPL); /* and ah, IF | IOPL */
    p = put32(PUT(p, 0x80, 0x25), flags); /* and byte [flags + 1], ~(IF | IOPL) */
    p = PUT(p, (uint8_t)~BYTE_IF_IOPL);
    p = put32(PUT(p, 0x08, 0x25), flags); /* or [flags + 1], ah */
    p = PUT(p, 0x78, 0x01, 0xC3);         /* js +1; ret */
    p = PUT(p, 0xF6, 0xC4, BYTE_IF);      /* test ah, IF */
    p = PUT(p, 0x75, 0x01, 0xC3);         /* jnz +1; ret */
    keeping_stub(p, PV_OP_STI);
}

/* While there is as much room as the kernel wants, note what is to be done; else trap. The queue's
 * index is in ECX, the value in EAX. */
static void queue_stub(uint8_t *p, const struct pv_note *note, uint32_t op)
{
    const uint32_t shared = note->shared_page;
    p = put32(PUT(p, 0x8B, 0x0D), shared + OFF(queue_count)); /* mov ecx, [count] */
    p = put32(PUT(p, 0x3B, 0x0D), shared + OFF(queue_limit)); /* cmp ecx, [limit] */
    p = PUT(p, 0x73, 0x19);                                   /* jae trap */
    p = put32(PUT(p, 0x89, 0x04, 0xCD),
              shared + OFF(queue) + 4);                       /* mov [queue + ecx * 8 + 4], eax */
    p = put32(PUT(p, 0xC7, 0x04, 0xCD), shared + OFF(queue)); /* mov dword [queue + ecx * 8], op */
    p = put32(p, op);
    p = put32(PUT(p, 0xFF, 0x05), shared + OFF(queue_count)); /* inc dword [count] */
    p = PUT(p, 0xC3);
    generic_stub(p, op);
}

/* mov [edx], eax; then the same with EAX = ECX, the address */
static void set_pte_stub(uint8_t *p, const struct pv_note *note, bool queue)
{
    p = PUT(p, 0x89, 0x02, 0x89, 0xC8); /* mov [edx], eax; mov eax, ecx */
    if (queue)
        queue_stub(p, note, PV_OP_SET_PTE);
    else
        generic_stub(p, PV_OP_SET_PTE);
}

static void fill_hypercall_page(const struct patcher *p, uint32_t features)
{
    static const uint8_t queued[] = {PV_OP_INVLPG, PV_OP_WRITE_CR3, PV_OP_SWITCH_CR3,
                                     PV_OP_DROP_SPACE};
    static const uint8_t keeping[] = {PV_OP_CLI, PV_OP_STI, PV_OP_PUSHF, PV_OP_POPF,
                                      PV_OP_READ_CR2};
    uint8_t *page = p->hypercall_page;
    memset(page, 0xCC, PAGE_SIZE);
    PUT(page, 0xCD, PV_GATE_CALL, 0xC3); /* stub 0: the caller has set ECX */
    for (uint8_t op = 1; op < PV_OP_COUNT; op++)
        generic_stub(page + op * PV_STUB_SIZE, op);
    for (unsigned i = 0; i < sizeof(keeping); i++)
        keeping_stub(page + keeping[i] * PV_STUB_SIZE, keeping[i]);
    set_pte_stub(page + PV_OP_SET_PTE * PV_STUB_SIZE, &p->note, features & PV_FEATURE_BATCH);
    if (features & PV_FEATURE_STI) {
        sti_stub(page + PV_OP_STI * PV_STUB_SIZE, &p->note);
        pushf_stub(page + PV_OP_PUSHF * PV_STUB_SIZE, &p->note);
        popf_stub(page + PV_OP_POPF * PV_STUB_SIZE, &p->note);
    }
    for (unsigned i = 0; i < sizeof(queued) && (features & PV_FEATURE_BATCH); i++)
        queue_stub(page + queued[i] * PV_STUB_SIZE, &p->note, queued[i]);
}

/* The VMM's pointer to n bytes of the loaded kernel at gva, or NULL. */
static uint8_t *kernel_bytes(const struct vm *vm, uint32_t gva, uint32_t n)
{
    gpa_t first, last;
    if (!elf_gva_to_gpa(vm->image, vm->image_size, gva, &first) ||
        !elf_gva_to_gpa(vm->image, vm->image_size, gva + n - 1, &last) || last != first + n - 1)
        return NULL;
    return guest_ram(vm, first, n);
}

/* Does the site touch one of the pages that must hold nothing else? */
static bool on_page(const struct pv_site *site, uint32_t page)
{
    return site->gva + PV_SITE_LEN > page && site->gva < page + PAGE_SIZE;
}

static bool check_site(const struct vm *vm, const struct pv_note *note, const struct pv_site *site,
                       char *why, unsigned size)
{
    uint8_t want[PV_SITE_LEN];
    if (on_page(site, note->hypercall_page) || on_page(site, note->shared_page)) {
        ksnprintf(why, size, "the site at %08x lies on the hypercall page or the shared page",
                  site->gva);
        return false;
    }
    const uint8_t *have = kernel_bytes(vm, site->gva, PV_SITE_LEN);
    if (site->len != PV_SITE_LEN || !pv_plain_bytes(site->op, want)) {
        ksnprintf(why, size,
                  "the site at %08x has length %u and operation %u, which version %u of "
                  "the ABI does not know",
                  site->gva, site->len, site->op, PV_ABI_VERSION);
        return false;
    }
    if (!have || memcmp(have, want, PV_SITE_LEN)) {
        ksnprintf(why, size, "the site at %08x does not hold the plain instruction %s", site->gva,
                  pv_op_name(site->op));
        return false;
    }
    return true;
}

const char *patcher_open(struct patcher *p, struct vm *vm, char *why, unsigned size)
{
    const void *desc;
    uint32_t desc_size;
    memset(p, 0, sizeof(*p));
    if (!multiboot_find_note(vm->image, vm->image_size, "Trivisor", PV_NOTE_TYPE, &desc,
                             &desc_size) ||
        desc_size < sizeof(p->note))
        return "the guest kernel has no paravirtual note (it was not written for this mode)";
    memcpy(&p->note, desc, sizeof(p->note));
    if (p->note.abi_version != PV_ABI_VERSION) {
        ksnprintf(why, size, "the guest kernel wants version %u of the paravirtual ABI, this is %u",
                  p->note.abi_version, PV_ABI_VERSION);
        return why;
    }
    p->hypercall_page = kernel_bytes(vm, p->note.hypercall_page, PAGE_SIZE);
    p->shared = (struct pv_shared *)kernel_bytes(vm, p->note.shared_page, PAGE_SIZE);
    if (((p->note.hypercall_page | p->note.shared_page) & ~PAGE_MASK) || !p->hypercall_page ||
        !p->shared || p->note.hypercall_page == p->note.shared_page)
        return "the hypercall or shared page of the guest kernel's note is not a page of the "
               "kernel";
    const uint32_t bytes = p->note.sites_end - p->note.sites;
    p->sites = elf_file_bytes(vm->image, vm->image_size, p->note.sites, bytes);
    if (p->note.sites_end < p->note.sites || bytes % sizeof(struct pv_site) || !p->sites)
        return "the site table of the guest kernel's note is not inside the kernel";
    p->site_count = bytes / sizeof(struct pv_site);
    return patcher_check(p, vm, why, size);
}

const char *patcher_check(const struct patcher *p, const struct vm *vm, char *why, unsigned size)
{
    for (uint32_t i = 0; i < p->site_count; i++) {
        if (!check_site(vm, &p->note, &p->sites[i], why, size))
            return why;
    }
    return NULL;
}

void patcher_apply(struct patcher *p, struct vm *vm, uint32_t features)
{
    fill_hypercall_page(p, features);
    p->patched = 0;
    for (uint32_t i = 0; i < p->site_count; i++) {
        pv_patched_bytes(&p->note, p->sites[i].op, features, p->sites[i].gva,
                         kernel_bytes(vm, p->sites[i].gva, PV_SITE_LEN));
        p->patched += pv_is_patched(p->sites[i].op, features);
    }
    p->shared->version = PV_ABI_VERSION;
    p->shared->patched_sites = p->patched;
}

const struct pv_site *patcher_site_around(const struct patcher *p, uint32_t eip)
{
    for (uint32_t i = 0; i < p->site_count; i++) {
        if (eip - p->sites[i].gva - 1 < PV_SITE_LEN - 1)
            return &p->sites[i];
    }
    return NULL;
}

bool patcher_safe_point(const struct patcher *p, uint32_t eip)
{
    return eip - p->note.hypercall_page >= PAGE_SIZE && !patcher_site_around(p, eip);
}

uint32_t patcher_behind_call(const struct patcher *p, uint32_t eip)
{
    const struct pv_site *site = patcher_site_around(p, eip);
    return site && eip == site->gva + CALL_LEN ? site->gva + PV_SITE_LEN : eip;
}

/* mov eax, PV_E_UNKNOWN; ret: for a guest that is on its way to a service when the mode changes. */
static const uint8_t no_service[] = {0xB8, 0xFF, 0xFF, 0xFF, 0xFF, 0xC3};
_Static_assert(PV_E_UNKNOWN == -1, "the operand of no_service");

void patcher_undo(struct patcher *p, struct vm *vm)
{
    for (uint32_t i = 0; i < p->site_count; i++)
        pv_plain_bytes(p->sites[i].op, kernel_bytes(vm, p->sites[i].gva, PV_SITE_LEN));
    memset(p->hypercall_page, 0xCC, PAGE_SIZE);
    memcpy(p->hypercall_page, no_service, sizeof(no_service));
    p->patched = 0;
    p->shared->version = 0;
    p->shared->patched_sites = 0;
}
