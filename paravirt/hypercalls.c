/* What hypercalls mean (pv_abi.h), and the queue. Nothing that the guest passes is trusted, and
 * everything is read once. */
#include <string.h>

#include "gmem.h"
#include "para.h"
#include "vmm.h"
#include "x86.h"

static bool read_guest(struct vcpu *vcpu, gva_t gva, void *to, uint32_t n)
{
    struct event ignored;
    return gva + n >= gva && guest_read(vcpu, gva, to, n, ACCESS_PEEK, &ignored);
}

static int32_t write_descriptor(struct vcpu *vcpu, uint32_t selector, uint32_t low, uint32_t high)
{
    const uint32_t offset = selector & ~7u;
    const uint32_t value[2] = {low, high};
    struct event ignored;
    if (selector > 0xFFFF || (selector & SEL_TI) || !offset || offset + 7 > vcpu->gdtr.limit)
        return PV_E_VALUE;
    if (!guest_write(vcpu, vcpu->gdtr.base + offset, value, sizeof(value), 0, &ignored))
        return PV_E_ADDRESS;
    return PV_OK;
}

/* The deadline is the guest's TSC, which differs from the host's by the vCPU's offset. */
static int32_t set_timer(struct para *para, uint64_t deadline, uint32_t vector)
{
    struct vcpu *vcpu = para->vcpu;
    if (!(para->features & PV_FEATURE_TIMER))
        return PV_E_UNKNOWN;
    if (vector > 255 || (vector && vector < 32))
        return PV_E_VALUE;
    const uint64_t tsc = deadline - vcpu->tsc_offset;
    const uint64_t ns = (int64_t)(tsc - host_tsc_zero()) > 0 ? host_tsc_to_ns(tsc) : 0;
    devices_oneshot(&vcpu->vm->dev, vector ? ns : UINT64_MAX, (uint8_t)vector);
    host_work = true;
    return PV_OK;
}

/* One of the operations that the queue can hold. */
static int32_t translation(struct para *para, uint32_t op, uint32_t value)
{
    const uint32_t one[1][2] = {{op, value}};
    switch (op) {
    case PV_OP_INVLPG:
        para->mmu->flush(para->vcpu, one, 1);
        return PV_OK;
    case PV_OP_SET_PTE:
        para->mmu->enter(para->vcpu, one, 1);
        return PV_OK;
    case PV_OP_WRITE_CR3:
    case PV_OP_SWITCH_CR3:
        para->mmu->load(para->vcpu, value, op == PV_OP_SWITCH_CR3);
        return PV_OK;
    case PV_OP_DROP_SPACE:
        para->mmu->drop(para->vcpu, value);
        return PV_OK;
    default:
        return PV_E_UNKNOWN;
    }
}

/* All but services that contain services. */
static int32_t simple_service(struct para *para, uint32_t number, uint32_t eax, uint32_t edx,
                              uint32_t ebx)
{
    switch (number) {
    case PV_CALL_NULL:
        return PV_OK;
    case PV_CALL_DESCRIPTOR:
        return write_descriptor(para->vcpu, eax, edx, ebx);
    case PV_CALL_TIMER:
        return set_timer(para, (uint64_t)edx << 32 | eax, ebx);
    default:
        return translation(para, number, eax);
    }
}

/* The results are written at last: the array is found writable before anything is done. */
static int32_t multi(struct para *para, uint32_t gva, uint32_t count)
{
    struct pv_multi calls[PV_MULTI_MAX];
    struct event ignored;
    const uint32_t size = count * (uint32_t)sizeof(calls[0]);
    if (count > PV_MULTI_MAX)
        return PV_E_VALUE;
    if (!count)
        return PV_OK;
    if (!read_guest(para->vcpu, gva, calls, size) ||
        !guest_write(para->vcpu, gva, calls, size, 0, &ignored))
        return PV_E_ADDRESS;
    for (uint32_t i = 0; i < count; i++)
        calls[i].result =
            simple_service(para, calls[i].number, calls[i].eax, calls[i].edx, calls[i].ebx);
    /* One of the calls may have changed what gva means: then the results are lost, no more. */
    guest_write(para->vcpu, gva, calls, size, 0, &ignored);
    return PV_OK;
}

bool pv_is_service(uint32_t number)
{
    return number >= PV_OP_COUNT || number == PV_OP_INVLPG || number == PV_OP_SET_PTE ||
           number == PV_OP_WRITE_CR3 || number == PV_OP_SWITCH_CR3 || number == PV_OP_DROP_SPACE;
}

int32_t pv_service(struct para *para, uint32_t number, uint32_t eax, uint32_t edx, uint32_t ebx)
{
    int32_t result;
    if (number < PV_OP_COUNT)
        para->hypercalls[number]++;
    else
        para->services++;
    pv_drain(para);
    if (number == PV_CALL_MULTI)
        result = multi(para, eax, edx);
    else if (number == PV_CALL_DRAIN)
        result = PV_OK;
    else
        result = simple_service(para, number, eax, edx, ebx);
    para->bad_calls += result != PV_OK;
    return result;
}

_Static_assert(sizeof(struct pv_queued) == sizeof(uint32_t[2]) && !offsetof(struct pv_queued, op),
               "struct pv_mmu takes pairs of words");

/* Do all entries before the count-th. The guest does not run meanwhile, so the queue does not
 * change. */
static inline void do_entries(struct para *para, struct pv_shared *shared, uint32_t count)
{
    uint32_t i = para->queue_done;
    if (count > PV_QUEUE_MAX) {
        para->bad_entries++;
        count = PV_QUEUE_MAX;
    }
    if (count < i) /* the guest has emptied it */
        i = 0;
    para->queue_done = count;
    para->drained += count - i;
    while (i < count) {
        const uint32_t(*list)[2] = (const void *)&shared->queue[i];
        if (list[0][0] == PV_OP_SET_PTE) {
            i += para->mmu->enter(para->vcpu, list, count - i);
        } else if (list[0][0] == PV_OP_INVLPG) {
            i += para->mmu->flush(para->vcpu, list, count - i);
        } else {
            para->bad_entries += translation(para, list[0][0], list[0][1]) != PV_OK;
            i++;
        }
    }
}

void pv_drain(struct para *para)
{
    struct pv_shared *shared = para->patcher.shared;
    const uint32_t count = shared->queue_count;
    if (count) {
        shared->queue_count = 0;
        para->drains++;
        do_entries(para, shared, count);
    }
    para->queue_done = 0;
}

void pv_catch_up(struct para *para)
{
    struct pv_shared *shared = para->patcher.shared;
    if (shared->queue_count != para->queue_done)
        do_entries(para, shared, shared->queue_count);
}

static const struct {
    const char *name;
    uint32_t bit;
} switches[] = {
#define X(id, name, what) {name, PV_FEATURE_##id},
    PV_SWITCHES(X)
#undef X
};

#define X(id, name, what) ", -" name
static const char known_words[] =
    "pv= takes a list of these words, with commas between them: count, repatch" PV_SWITCHES(X);
#undef X

/* The bit of the switch named word[0..n-1], or 0. */
static uint32_t switch_bit(const char *word, size_t n)
{
    for (unsigned i = 0; i < ARRAY_LEN(switches); i++) {
        if (strlen(switches[i].name) == n && !strncmp(switches[i].name, word, n))
            return switches[i].bit;
    }
    return 0;
}

static const char *unknown_word(const char *word, size_t n)
{
    static char why[sizeof(known_words) + 64];
    char text[40];
    ksnprintf(text, n < sizeof(text) ? n + 1 : sizeof(text), "%s", word);
    ksnprintf(why, sizeof(why), "'%s' is no word of pv=; %s", text, known_words);
    return why;
}

const char *pv_features(const char *options, uint32_t *features)
{
    char list[120];
    *features = PV_FEATURES_ALL;
    if (!option_value(options, "pv", list, sizeof(list)))
        return NULL;
    if (strlen(list) == sizeof(list) - 1) /* option_value() may have cut it off */
        return "pv= is too long";
    for (const char *word = list; *word;) {
        size_t n = 0;
        while (word[n] && word[n] != ',')
            n++;
        const uint32_t bit = word[0] == '-' ? switch_bit(word + 1, n - 1) : 0;
        if (n == 5 && !strncmp(word, "count", n))
            *features |= PV_COUNT_SITES;
        else if (n == 7 && !strncmp(word, "repatch", n))
            *features |= PV_REPATCH;
        else if (!bit)
            return unknown_word(word, n);
        *features &= ~bit;
        word += n + (word[n] == ',');
    }
    return NULL;
}
