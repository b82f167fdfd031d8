/*
 * Plots of tables, drawn by gnuplot, as SVG for the inside of an HTML page: with a title and a
 * description for those who cannot see them, with shapes and letters for those who print in grey.
 */
#ifndef OVERHEAD_PLOT_H
#define OVERHEAD_PLOT_H

#include "overhead/table.h"

#define PLOT_SERIES 10

enum plot_kind {
    PLOT_DOTS,    /* a point a cell, on a logarithmic axis with a line at 1 */
    PLOT_STACKED, /* a bar a row, its cells one behind the other */
};

struct plot {
    enum plot_kind kind;
    const struct table *table; /* rows downwards, the chosen columns are the series */
    int series[PLOT_SERIES];   /* columns of the table */
    int series_count;
    const char *title, *description, *axis;
};

/*
 * The <svg> element, allocated; NULL when there is nothing to draw. dir: gnuplot's script and
 * output stay there. Dies when gnuplot cannot be run.
 */
char *plot_svg(const struct plot *p, const char *dir);

/* Turn gnuplot's SVG document into an element for a page: title, description, a prefix for all ids
 * so that several fit into one page. NULL when it is not what gnuplot writes. Pure. */
char *plot_element(const char *svg, const char *prefix, const char *title, const char *description,
                   int width, int height);

#endif
