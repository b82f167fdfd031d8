/* Nested or shadow paging for hardware modes; see paging.h. */
#include "paging.h"

#include <string.h>

#include "emulate.h"
#include "sink.h"
#include "vmm.h"
#include "x86.h"

static uint32_t shadow_pages(void)
{
    return (sizeof(struct shadow) + PAGE_SIZE - 1) / PAGE_SIZE;
}

static hpa_t to_hpa(const void *page)
{
    return ptr_to_hpa(page);
}

const char *paging_choose(const char *options, const char *no_nested, bool *shadowed)
{
    static char why[100];
    char word[16];
    *shadowed = no_nested;
    if (!option_value(options, "paging", word, sizeof(word)))
        return NULL;
    *shadowed = !strcmp(word, "shadow");
    if (*shadowed)
        return NULL;
    if (!strcmp(word, "nested"))
        return no_nested;
    ksnprintf(why, sizeof(why), "paging=%s: it is nested or shadow", word);
    return why;
}

const char *paging_init(struct hw_paging *paging, enum nested_format format, struct vm *vm)
{
    if (!paging->shadowed) {
        paging->map = (struct nested_map){
            .alloc = page_alloc, .release = page_free, .to_hpa = to_hpa, .to_ptr = hpa_to_ptr};
        return nested_open(&paging->map, format, vm);
    }
    paging->shadow = pages_alloc(shadow_pages(), PAGE_SIZE);
    if (!paging->shadow)
        return "too little memory for the shadow paging's state";
    const char *why = shadow_init(paging->shadow, vm, SHADOW_NATIVE);
    if (why)
        pages_free(paging->shadow, shadow_pages());
    else
        paging->shadow_cr3 = shadow_cr3(paging->shadow, SHADOW_KERNEL);
    return why;
}

void paging_free(struct hw_paging *paging)
{
    if (!paging->shadowed) {
        nested_free(&paging->map);
        return;
    }
    shadow_free(paging->shadow);
    pages_free(paging->shadow, shadow_pages());
}

void paging_fault(struct hw_paging *paging, const struct event *first, gva_t gva, uint32_t error,
                  struct exit *exit)
{
    struct vcpu *vcpu = &paging->shadow->vm->vcpu;
    struct event *fault = &exit->exception.event;
    uint32_t guest_error;
    gpa_t gpa;
    switch (shadow_fault_native(paging->shadow, gva, error, &guest_error, &gpa)) {
    case SHADOW_FILLED:
        exit->reason = EXIT_SHADOW_FILL;
        break;
    case SHADOW_FAULT:
        exit->reason = EXIT_EXCEPTION;
        *fault = (struct event){.kind = EVENT_EXCEPTION,
                                .vector = VEC_PF,
                                .has_error = true,
                                .error = guest_error,
                                .cr2 = gva};
        if (first && !combine_faults(first, fault))
            exit->reason = EXIT_TRIPLE_FAULT;
        if (fault->vector == VEC_DF) { /* also then CR2 is that of the last page fault */
            vcpu->cr2 = gva;
            vcpu->dirty |= DIRTY_CR2;
        }
        break;
    default: /* nothing is watched or reserved in hardware modes: a hole */
        exit->reason = EXIT_NESTED_FAULT;
        exit->fault.gpa = gpa;
        exit->fault.gva = gva;
        exit->fault.error = error & (PF_W | PF_U);
    }
}

void paging_drop_page(struct hw_paging *paging, gva_t gva)
{
    if (paging->shadowed)
        shadow_drop_page(paging->shadow, gva);
}

void paging_drop_all(struct hw_paging *paging, bool global_too)
{
    if (!paging->shadowed)
        return;
    if (global_too)
        shadow_drop_all(paging->shadow);
    else
        shadow_switch(paging->shadow, false);
}

bool paging_show(const struct hw_paging *paging, const char *topic, struct sink *sink)
{
    if (strcmp(topic, "nested"))
        return false;
    if (paging->shadowed)
        shadow_show(paging->shadow, sink);
    else
        nested_show(&paging->map, sink);
    return true;
}

void paging_explain(const struct hw_paging *paging, gva_t gva, gpa_t gpa, struct sink *sink)
{
    if (paging->shadowed) {
        say(sink, "the CPU walks no table of the guest, but a shadow of them (PAE format):");
        shadow_explain(paging->shadow, SHADOW_KERNEL, gva, sink);
        return;
    }
    say(sink,
        "the CPU itself walks the guest's tables; each guest physical address on the way, and "
        "the last one, goes through the nested tables:");
    nested_explain(&paging->map, gpa, sink);
}

int paging_stats(const struct hw_paging *paging, char *buf, unsigned size)
{
    const struct shadow *s = paging->shadow;
    if (!paging->shadowed)
        return ksnprintf(buf, size, "\"paging\":\"nested\",\"nested_4k\":%u,\"nested_2m\":%u",
                         paging->map.small_pages, paging->map.large_pages);
    return ksnprintf(buf, size,
                     "\"paging\":\"shadow\",\"shadow_fills\":%llu,\"shadow_flushes\":%llu,"
                     "\"shadow_kept\":%llu,\"shadow_evicted\":%llu",
                     s->fills, s->flushes, s->kept, s->evicted);
}
