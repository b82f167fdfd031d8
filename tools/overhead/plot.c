#include "overhead/plot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lib/proc.h"

#define WIDTH 780
#define DOT_HEIGHT 9  /* of a series within a row */
#define BAR_HEIGHT 19 /* of a row */
#define AXIS_HEIGHT 90
#define KEY_HEIGHT 20 /* of a line of the key */
#define KEY_COLUMNS 3
#define FEW_POWERS 100
#define LETTERS_A_BAR 40 /* pieces that are shorter have no letter */

/* Dark enough on white, and apart for most eyes; but shapes tell them apart, too. */
static const char *const colours[] = {"#000000", "#b34700", "#00588f", "#7a3068", "#006b4f",
                                      "#8a6d00", "#444444", "#a0002a", "#3a3a9e", "#5c4a1f"};
static const int shapes[] = {7, 5, 9, 13, 4, 6, 8, 10, 12, 3}; /* filled ones, open ones */
/* Of bars: light enough for black letters, which tell them apart in grey. (Hatchings would, too,
 * but a page printed with them becomes a hundred times as large.) */
static const char *const tints[] = {"#e3e3e3", "#ffffff", "#9ecae1", "#fdd0a2", "#c7e9c0",
                                    "#c9c9c9", "#d9d2ec", "#f7f7d0", "#f4c6c6", "#b8d8d0"};

/* A string of gnuplot's: only the quote means something in it. */
static void quoted(struct text *out, const char *string)
{
    text_printf(out, "'");
    for (; *string; string++)
        text_printf(out, "%s%c", *string == '\'' ? "'" : "", *string);
    text_printf(out, "'");
}

static int key_lines(const struct plot *p)
{
    return (p->series_count + KEY_COLUMNS - 1) / KEY_COLUMNS;
}

static int height_of(const struct plot *p)
{
    const int row = p->kind == PLOT_DOTS ? p->series_count * DOT_HEIGHT + 8 : BAR_HEIGHT;
    return p->table->row_count * row + AXIS_HEIGHT + key_lines(p) * KEY_HEIGHT;
}

static void frame(struct text *out, const struct plot *p, const char *svg)
{
    const struct table *t = p->table;
    text_printf(out, "set terminal svg size %d,%d noenhanced font 'sans-serif,13'\n", WIDTH,
                height_of(p));
    text_printf(out, "set output ");
    quoted(out, svg);
    text_printf(out, "\nset yrange [%.1f:-0.5]\nset ytics scale 0 (", t->row_count - 0.5);
    for (int i = 0; i < t->row_count; i++) {
        text_printf(out, "%s", i ? ", " : "");
        quoted(out, t->rows[i].head);
        text_printf(out, " %d", i);
    }
    text_printf(out,
                ")\nset tmargin %d\nset key at screen 0.01, screen 0.99 left top horizontal Left "
                "reverse samplen 2 width 1 maxrows %d\nset grid xtics lc rgb '#dddddd' lt 1\nset "
                "border 1\nset tics nomirror out\n"
                "set xlabel ",
                key_lines(p) + 2, key_lines(p));
    quoted(out, p->axis);
    text_printf(out, "\n");
    for (int i = 1; i < t->row_count && p->kind == PLOT_DOTS; i++)
        text_printf(out,
                    "set arrow from graph 0, first %.1f to graph 1, first %.1f nohead "
                    "back lt 1 lw 1 lc rgb '#dddddd'\n",
                    i - 0.5, i - 0.5);
}

/* The axis: some room beside the outermost points, and labels between the powers of ten where there
 * are few of these. */
static void axis(struct text *out, const struct plot *p)
{
    double low = 1, high = 1;
    for (int s = 0; s < p->series_count; s++) {
        for (int i = 0; i < p->table->row_count; i++) {
            const double value = p->table->rows[i].cells[p->series[s]].number;
            low = value > 0 && value < low ? value : low;
            high = value > high ? value : high;
        }
    }
    text_printf(out, "set logscale x 10\nset format x '%%g'\nset xrange [%.6g:%.6g]\n", low / 1.25,
                high * 1.25);
    if (high / low < FEW_POWERS)
        text_printf(out, "set xtics (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)\n");
}

/* One block of data a series. */
static void dots(struct text *out, const struct plot *p)
{
    for (int s = 0; s < p->series_count; s++) {
        text_printf(out, "$s%d << EOD\n", s);
        for (int i = 0; i < p->table->row_count; i++) {
            const double value = p->table->rows[i].cells[p->series[s]].number;
            const double y = i + 0.8 * ((s + 0.5) / p->series_count - 0.5);
            if (value > 0)
                text_printf(out, "%.10g %.3f\n", value, y);
        }
        text_printf(out, "EOD\n");
    }
    axis(out, p);
    text_printf(out, "set arrow from 1, graph 0 to 1, graph 1 nohead lc rgb '#000000' dt 2\nplot ");
    for (int s = 0; s < p->series_count; s++) {
        text_printf(out, "%s$s%d using 1:2 with points pt %d ps 0.7 lw 1.6 lc rgb '%s' title ",
                    s ? ", " : "", s, shapes[s], colours[s]);
        quoted(out, p->table->columns[p->series[s]].head);
    }
    text_printf(out, "\n");
}

static double longest(const struct plot *p)
{
    double most = 0;
    for (int i = 0; i < p->table->row_count; i++) {
        double sum = 0;
        for (int s = 0; s < p->series_count; s++)
            sum += fmax(p->table->rows[i].cells[p->series[s]].number, 0);
        most = fmax(most, sum);
    }
    return most;
}

static double number_in(const struct plot *p, int row, int s)
{
    const double number = p->table->rows[row].cells[p->series[s]].number;
    return number > 0 ? number : 0;
}

/* One block a series: x, y, and the corners of the piece. One of the letters: x, y, letter. */
static void pieces(struct text *out, const struct plot *p)
{
    const double room = longest(p) / LETTERS_A_BAR;
    struct text letters = {0};
    for (int s = 0; s < p->series_count; s++) {
        text_printf(out, "$s%d << EOD\n", s);
        for (int i = 0; i < p->table->row_count; i++) {
            const double size = number_in(p, i, s);
            double from = 0;
            for (int k = 0; k < s; k++)
                from += number_in(p, i, k);
            if (size > 0)
                text_printf(out, "%.10g %d %.10g %.10g %.2f %.2f\n", from, i, from, from + size,
                            i - 0.4, i + 0.4);
            if (size > room)
                text_printf(&letters, "%.10g %d %c\n", from + size / 2, i, 'A' + s);
        }
        text_printf(out, "EOD\n");
    }
    text_printf(out, "$letters << EOD\n%sEOD\n", letters.text ? letters.text : "");
    text_free(&letters);
}

static void bars(struct text *out, const struct plot *p)
{
    pieces(out, p);
    text_printf(out, "set xrange [0:*]\nplot ");
    for (int s = 0; s < p->series_count; s++) {
        char *name = xasprintf("%c: %s", 'A' + s, p->table->columns[p->series[s]].head);
        text_printf(out,
                    "$s%d using 1:2:3:4:5:6 with boxxyerror fs solid 1 border lc rgb '#333333' "
                    "fc rgb '%s' title ",
                    s, tints[s]);
        quoted(out, name);
        text_printf(out, ", ");
        free(name);
    }
    text_printf(out, "$letters using 1:2:3 with labels font ',11' notitle\n");
}

/* Series without any data are no series: gnuplot would warn, and the key would lie. */
static struct plot without_empty(const struct plot *p)
{
    struct plot used = *p;
    used.series_count = 0;
    for (int s = 0; s < p->series_count; s++) {
        bool any = false;
        for (int i = 0; i < p->table->row_count; i++)
            any |= p->table->rows[i].cells[p->series[s]].number > 0;
        if (any)
            used.series[used.series_count++] = p->series[s];
    }
    return used;
}

static char *draw(const struct plot *p, const char *dir)
{
    char *base = xasprintf("%s/%s", dir, p->table->id), *svg = xasprintf("%s.svg", base),
         *script = xasprintf("%s.gp", base), *log = xasprintf("%s.log", base);
    char *argv[] = {"gnuplot", script, NULL};
    struct text out = {0};
    frame(&out, p, svg);
    (p->kind == PLOT_DOTS ? dots : bars)(&out, p);
    make_dirs(dir);
    write_file(script, out.text, out.len);
    text_free(&out);
    if (proc_run(argv, log))
        die(1, "gnuplot (package gnuplot-nox) could not draw; see %s", log);
    char *document = read_file(svg, NULL);
    free(base);
    free(svg);
    free(script);
    free(log);
    return document;
}

char *plot_svg(const struct plot *p, const char *dir)
{
    const struct plot used = without_empty(p);
    if (!used.series_count)
        return NULL;
    char *prefix = xasprintf("plot-%s", p->table->id), *document = draw(&used, dir);
    char *element =
        document ? plot_element(document, prefix, p->title, p->description, WIDTH, height_of(&used))
                 : NULL;
    if (!element)
        die(1, "gnuplot wrote no SVG of %s", p->table->id);
    free(prefix);
    free(document);
    return element;
}
