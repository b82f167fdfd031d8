/* The report as one HTML page that needs nothing else: no script, no font, no network. */
#ifndef OVERHEAD_PAGE_H
#define OVERHEAD_PAGE_H

#include "overhead/sections.h"

struct page {
    const struct document *document;
    const struct table *unrepeated; /* or NULL */
    const cJSON *problems;          /* texts; what went wrong in the measurement */
    bool quick;
    const char *plots; /* directory for gnuplot's files; NULL: no plots */
};

/* The page, allocated. It is well-formed XML, too. */
char *page_html(const struct page *page);

#endif
