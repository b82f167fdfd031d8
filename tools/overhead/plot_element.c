#include <string.h>

#include "overhead/plot.h"

#define CANVAS "<g id=\"gnuplot_canvas\""

/* What stands before the name of an id, where it is given and where it is used. */
static const char *const before_ids[] = {" id=\"", " id='", "url(#", "href=\"#", "href='#"};

static size_t id_here(const char *at)
{
    for (unsigned i = 0; i < sizeof(before_ids) / sizeof(before_ids[0]); i++) {
        const size_t n = strlen(before_ids[i]);
        if (!strncmp(at, before_ids[i], n))
            return n;
    }
    return 0;
}

static void opening(struct text *out, const char *prefix, const char *title,
                    const char *description, int width, int height)
{
    text_printf(out, "<svg class=\"plot\" role=\"img\" aria-label=\"");
    html_escape(out, title);
    text_printf(out,
                "\" aria-describedby=\"%s-desc\" viewBox=\"0 0 %d %d\" "
                "xmlns=\"http://www.w3.org/2000/svg\" "
                "xmlns:xlink=\"http://www.w3.org/1999/xlink\">\n<title>",
                prefix, width, height);
    html_escape(out, title);
    text_printf(out, "</title>\n<desc id=\"%s-desc\">", prefix);
    html_escape(out, description);
    text_printf(out, "</desc>\n");
}

char *plot_element(const char *svg, const char *prefix, const char *title, const char *description,
                   int width, int height)
{
    struct text out = {0};
    const char *at = strstr(svg, CANVAS), *end = strstr(svg, "</svg>");
    if (!at || !end || end < at)
        return NULL;
    opening(&out, prefix, title, description, width, height);
    while (at < end) {
        const size_t n = id_here(at);
        text_add(&out, at, n ? n : 1);
        if (n)
            text_printf(&out, "%s-", prefix);
        at += n ? n : 1;
    }
    text_printf(&out, "</svg>\n");
    return out.text;
}
