/* The list of sites, for those who want to see what was done to the guest. */
#include <string.h>

#include "para.h"
#include "sink.h"
#include "vmm.h"

static uint32_t count_pages(const struct para *para)
{
    return (para->patcher.site_count * 4 + PAGE_SIZE - 1) / PAGE_SIZE;
}

const char *pv_sites_open(struct para *para)
{
    if (!(para->features & PV_COUNT_SITES) || !para->patcher.site_count)
        return NULL;
    para->site_count = pages_alloc(count_pages(para), PAGE_SIZE);
    if (!para->site_count)
        return "too little memory for the counters of the sites";
    host_gate_user(PV_GATE_COUNT, true);
    return NULL;
}

void pv_sites_close(struct para *para)
{
    if (!para->site_count)
        return;
    host_gate_user(PV_GATE_COUNT, false);
    pages_free(para->site_count, count_pages(para));
    para->site_count = NULL;
}

int pv_site_at(const struct para *para, uint32_t eip)
{
    const struct pv_site *sites = para->patcher.sites;
    for (uint32_t i = 0; i < para->patcher.site_count; i++) {
        if (sites[i].gva == eip - 2)
            return (int)i;
    }
    return -1;
}

static void hex(const uint8_t bytes[PV_SITE_LEN], char out[2 * PV_SITE_LEN + 1])
{
    for (unsigned i = 0; i < PV_SITE_LEN; i++)
        ksnprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

/* What became of a site, and how often it ran, if that was counted. */
struct site_text {
    char before[2 * PV_SITE_LEN + 1], now[2 * PV_SITE_LEN + 1];
    bool counted;
    uint32_t executed;
};

static struct site_text site_text(const struct para *para, uint32_t i)
{
    const struct patcher *p = &para->patcher;
    const struct pv_site *site = &p->sites[i];
    struct site_text text = {.counted =
                                 para->site_count && pv_is_patched(site->op, para->features)};
    uint8_t bytes[PV_SITE_LEN];
    pv_plain_bytes(site->op, bytes);
    hex(bytes, text.before);
    pv_patched_bytes(&p->note, site->op, para->features & ~(uint32_t)PV_COUNT_SITES, site->gva,
                     bytes);
    hex(bytes, text.now);
    if (text.counted)
        text.executed = para->site_count[i];
    return text;
}

void pv_sites_report(const struct para *para)
{
    const struct patcher *p = &para->patcher;
    char count[24] = "";
    for (uint32_t i = 0; i < p->site_count; i++) {
        const struct site_text text = site_text(para, i);
        count[0] = 0;
        if (text.counted)
            ksnprintf(count, sizeof(count), ",\"executed\":%u", text.executed);
        record(
            "{\"type\":\"site\",\"address\":%u,\"op\":\"%s\",\"before\":\"%s\",\"after\":\"%s\"%s}",
            p->sites[i].gva, pv_op_name(p->sites[i].op), text.before, text.now, count);
    }
}

void pv_sites_show(const struct para *para, struct sink *sink)
{
    const struct patcher *p = &para->patcher;
    say(sink, "address   operation   plain             now");
    for (uint32_t i = 0; i < p->site_count; i++) {
        const struct pv_site *site = &p->sites[i];
        const struct site_text text = site_text(para, i);
        const bool patched = pv_is_patched(site->op, para->features);
        char count[24] = "";
        if (text.counted)
            ksnprintf(count, sizeof(count), "  executed %u", text.executed);
        say(sink, "%08x  %-11s %s  %s%s", site->gva, pv_op_name(site->op), text.before,
            patched ? text.now : "as it was: it traps", count);
    }
    say(sink, "%u sites, %u of them patched", p->site_count, p->patched);
}
