/* Encodings: SDM vol. 2. */
#include "site_text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define PAGE 4096u
#define FLAGS_BYTE (offsetof(struct pv_shared, virtual_flags) + 1)
#define NOT_IF 0xFD /* of that byte: bit 9 of EFLAGS is its bit 1 */

static const struct form {
    uint8_t len, bytes[4];
    const char *text;
} forms[] = {
    {0, {0}, "nop"},
    {1, {0xFA}, "cli"},
    {1, {0xFB}, "sti"},
    {2, {0x9C, 0x58}, "pushf; pop eax"},
    {2, {0x50, 0x9D}, "push eax; popf"},
    {1, {0xCF}, "iret"},
    {1, {0xF4}, "hlt"},
    {2, {0xFB, 0xF4}, "sti; hlt"},
    {1, {0xEC}, "in al, dx"},
    {2, {0x66, 0xED}, "in ax, dx"},
    {1, {0xED}, "in eax, dx"},
    {1, {0xEE}, "out dx, al"},
    {2, {0x66, 0xEF}, "out dx, ax"},
    {1, {0xEF}, "out dx, eax"},
    {3, {0x0F, 0x20, 0xC0}, "mov eax, cr0"},
    {3, {0x0F, 0x22, 0xC0}, "mov cr0, eax"},
    {3, {0x0F, 0x20, 0xD0}, "mov eax, cr2"},
    {3, {0x0F, 0x20, 0xD8}, "mov eax, cr3"},
    {3, {0x0F, 0x22, 0xD8}, "mov cr3, eax"},
    {3, {0x0F, 0x20, 0xE0}, "mov eax, cr4"},
    {3, {0x0F, 0x22, 0xE0}, "mov cr4, eax"},
    {3, {0x0F, 0x01, 0x38}, "invlpg [eax]"},
    {2, {0x0F, 0xA2}, "cpuid"},
    {2, {0x89, 0x02}, "mov [edx], eax"},
    {3, {0x66, 0xF3, 0x6D}, "rep insw"},
    {3, {0x66, 0xF3, 0x6F}, "rep outsw"},
    {3, {0x0F, 0x01, 0x10}, "lgdt [eax]"},
    {3, {0x0F, 0x01, 0x18}, "lidt [eax]"},
    {3, {0x0F, 0x00, 0xD8}, "ltr ax"},
    {3, {0x0F, 0x00, 0xD0}, "lldt ax"},
};

static const struct field {
    size_t offset;
    const char *name;
} fields[] = {
#define FIELD(name)                                                                                \
    {                                                                                              \
        offsetof(struct pv_shared, name), #name                                                    \
    }
    FIELD(virtual_flags), FIELD(cr0), FIELD(cr2), FIELD(queue_limit), FIELD(queue_count),
#undef FIELD
};

/* Are these n bytes one NOP of a recommended form, or none at all (SDM vol. 2B, NOP)? */
static bool is_nop(const uint8_t *p, unsigned n)
{
    static const struct {
        uint8_t modrm, len;
    } lengths[] = {{0x00, 3}, {0x40, 4}, {0x44, 5}, {0x80, 7}, {0x84, 8}};
    const unsigned prefix = n && p[0] == 0x66;
    p += prefix;
    n -= prefix;
    if (n <= 1)
        return !n ? !prefix : p[0] == 0x90;
    if (n < 3 || p[0] != 0x0F || p[1] != 0x1F)
        return false;
    for (unsigned i = 3; i < n; i++) {
        if (p[i])
            return false;
    }
    for (unsigned i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        if (lengths[i].modrm == p[2])
            return lengths[i].len == n;
    }
    return false;
}

static uint32_t get32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* An address, by the field of the shared page that it is in. */
static const char *place(const struct pv_note *note, uint32_t gva, char out[24])
{
    const uint32_t at = gva - note->shared_page;
    snprintf(out, 24, "0x%08x", gva);
    for (unsigned i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const size_t inside = at - fields[i].offset;
        if (at >= fields[i].offset && inside < 4)
            snprintf(out, 24, inside ? "%s+%zu" : "%s", fields[i].name, inside);
    }
    return out;
}

static void call_text(const struct pv_note *note, const char *const *names, uint32_t target,
                      struct site_text *out)
{
    const uint32_t at = target - note->hypercall_page, op = at / PV_STUB_SIZE;
    if (at >= PAGE || at % PV_STUB_SIZE)
        snprintf(out->text, sizeof(out->text), "call 0x%08x", target);
    else if (op < PV_OP_COUNT && names[op])
        snprintf(out->text, sizeof(out->text), "call stub %s", names[op]);
    else
        snprintf(out->text, sizeof(out->text), "call stub %u", op);
    out->used = 5;
}

static void and_text(const struct pv_note *note, const uint8_t *p, struct site_text *out)
{
    char where[24];
    const uint32_t gva = get32(p + 3);
    place(note, gva, where);
    if (gva - note->shared_page == FLAGS_BYTE && p[7] == NOT_IF)
        snprintf(out->text, sizeof(out->text), "and byte [%s], ~IF", where);
    else
        snprintf(out->text, sizeof(out->text), "and byte [%s], 0x%02x", where, p[7]);
    out->used = 8;
}

static void mov_text(const struct pv_note *note, const uint8_t *p, struct site_text *out)
{
    char where[24];
    snprintf(out->text, sizeof(out->text), "mov eax, [%s]", place(note, get32(p + 1), where));
    out->used = 5;
}

static bool plain_text(const uint8_t bytes[PV_SITE_LEN], struct site_text *out)
{
    for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        const struct form *f = &forms[i];
        if (memcmp(bytes, f->bytes, f->len) || !is_nop(bytes + f->len, PV_SITE_LEN - f->len))
            continue;
        snprintf(out->text, sizeof(out->text), "%s", f->text);
        out->used = f->len;
        return true;
    }
    return false;
}

struct site_text site_text(const struct pv_note *note, const char *const *names, uint32_t gva,
                           const uint8_t bytes[PV_SITE_LEN])
{
    struct site_text out = {"?", PV_SITE_LEN};
    if (plain_text(bytes, &out))
        return out;
    if (bytes[0] == 0xE8) {
        call_text(note, names, gva + 5 + get32(bytes + 1), &out);
    } else if (bytes[0] == 0xA1) {
        mov_text(note, bytes, &out);
    } else if (bytes[0] == 0x3E && bytes[1] == 0x80 && bytes[2] == 0x25) {
        and_text(note, bytes, &out);
    } else if (bytes[0] == 0xCD) {
        snprintf(out.text, sizeof(out.text), "int 0x%02x", bytes[1]);
        out.used = 2;
    }
    if (!is_nop(bytes + out.used, PV_SITE_LEN - out.used))
        out = (struct site_text){"?", PV_SITE_LEN};
    return out;
}
