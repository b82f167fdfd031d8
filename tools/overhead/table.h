/*
 * A table: what the report shows is built once and written four times, as JSON, as CSV, as HTML and
 * as a plot, so that they cannot differ. Building, CSV and HTML are pure.
 */
#ifndef OVERHEAD_TABLE_H
#define OVERHEAD_TABLE_H

#include "lib/util.h"

#define TABLE_COLUMNS 24

enum cell_form {
    CELL_TEXT,
    CELL_COUNT,   /* whole: ticks, cycles */
    CELL_DECIMAL, /* one decimal: exits, microseconds */
    CELL_RATIO,   /* a multiple: three digits that tell something */
    CELL_PERCENT,
    CELL_SIGNED, /* per cent more or less */
};

struct cell {
    double number; /* NAN: not measured */
    char *text;    /* of CELL_TEXT, or words beside the number; or NULL */
};

struct column {
    char *head;
    enum cell_form form;
};

struct row {
    char *head;
    struct cell cells[TABLE_COLUMNS];
};

struct table {
    char *id, *caption;
    char *row_head; /* head of the first column, that of the rows' names */
    struct column columns[TABLE_COLUMNS];
    int column_count;
    struct row *rows;
    int row_count;
};

/* A table without columns. All texts are copied. */
struct table *table_new(const char *id, const char *row_head, const char *caption_fmt, ...)
    __attribute__((format(printf, 3, 4)));
void table_free(struct table *t);

/* Returns the column's index. Dies when there are too many. */
int table_column(struct table *t, enum cell_form form, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A row in which nothing is measured yet; the last one is what the setters fill. */
void table_row(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_number(struct table *t, int column, double number);
void table_text(struct table *t, int column, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Has the column any number or text? */
bool table_column_used(const struct table *t, int column);

/* Is there anything in the table? */
bool table_used(const struct table *t);

/* The cell as people read it, allocated; "" when there is nothing. */
char *table_shown(const struct table *t, int row, int column);

/* RFC 4180, with a header; numbers in full. Lines end with CR LF, as it asks. */
void table_csv(const struct table *t, struct text *out);

/* One field of CSV: quoted when it must be. */
void csv_field(struct text *out, const char *field);

/* A <table> with caption and scopes, in a box that scrolls when the window is narrow. */
void table_html(const struct table *t, struct text *out);

/* Text for the inside of an element or of a quoted attribute. Characters that HTML does not allow
 * (controls other than tab and line ends) become U+FFFD. */
void html_escape(struct text *out, const char *text);

#endif
