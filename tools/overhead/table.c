#include "overhead/table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct table *table_new(const char *id, const char *row_head, const char *caption_fmt, ...)
{
    struct table *t = xrealloc(NULL, sizeof(*t));
    va_list ap;
    *t = (struct table){.id = xasprintf("%s", id), .row_head = xasprintf("%s", row_head)};
    va_start(ap, caption_fmt);
    t->caption = xvasprintf(caption_fmt, ap);
    va_end(ap);
    return t;
}

void table_free(struct table *t)
{
    for (int i = 0; i < t->row_count; i++) {
        for (int k = 0; k < t->column_count; k++)
            free(t->rows[i].cells[k].text);
        free(t->rows[i].head);
    }
    for (int k = 0; k < t->column_count; k++)
        free(t->columns[k].head);
    free(t->rows);
    free(t->id);
    free(t->caption);
    free(t->row_head);
    free(t);
}

int table_column(struct table *t, enum cell_form form, const char *fmt, ...)
{
    va_list ap;
    if (t->column_count == TABLE_COLUMNS)
        die(1, "table %s has too many columns", t->id);
    va_start(ap, fmt);
    t->columns[t->column_count] = (struct column){xvasprintf(fmt, ap), form};
    va_end(ap);
    return t->column_count++;
}

void table_row(struct table *t, const char *fmt, ...)
{
    va_list ap;
    t->rows = xrealloc(t->rows, (size_t)(t->row_count + 1) * sizeof(*t->rows));
    struct row *row = &t->rows[t->row_count++];
    va_start(ap, fmt);
    row->head = xvasprintf(fmt, ap);
    va_end(ap);
    for (int k = 0; k < TABLE_COLUMNS; k++)
        row->cells[k] = (struct cell){NAN, NULL};
}

static struct cell *last(struct table *t, int column)
{
    if (!t->row_count || column < 0 || column >= t->column_count)
        die(1, "table %s has no cell %d", t->id, column);
    return &t->rows[t->row_count - 1].cells[column];
}

void table_number(struct table *t, int column, double number)
{
    last(t, column)->number = isfinite(number) ? number : NAN;
}

void table_text(struct table *t, int column, const char *fmt, ...)
{
    va_list ap;
    struct cell *cell = last(t, column);
    free(cell->text);
    va_start(ap, fmt);
    cell->text = xvasprintf(fmt, ap);
    va_end(ap);
}

static bool filled(const struct cell *cell)
{
    return !isnan(cell->number) || (cell->text && *cell->text);
}

bool table_column_used(const struct table *t, int column)
{
    for (int i = 0; i < t->row_count; i++) {
        if (filled(&t->rows[i].cells[column]))
            return true;
    }
    return false;
}

bool table_used(const struct table *t)
{
    for (int k = 0; k < t->column_count; k++) {
        if (t->columns[k].form != CELL_TEXT && table_column_used(t, k))
            return true;
    }
    return false;
}

/* 1234567 as 1,234,567. */
static char *grouped(double number)
{
    char *digits = xasprintf("%.0f", fabs(number));
    struct text t = {0};
    text_printf(&t, "%s", number < 0 && strcmp(digits, "0") ? "-" : "");
    for (size_t i = 0, n = strlen(digits); i < n; i++)
        text_printf(&t, "%c%s", digits[i], i + 1 < n && (n - i - 1) % 3 == 0 ? "," : "");
    free(digits);
    return t.text;
}

/* Just below 100 the last digits are what tells. */
static char *percent_shown(double number)
{
    const double size = fabs(number);
    if (size < 0.05)
        return xasprintf(number != 0 ? "0.0 %%" : "0");
    if (number > 99.9995 && number < 100)
        return xasprintf("> 99.999 %%");
    return xasprintf("%.*f %%", number > 99 && number < 100 ? 3 : 1, number);
}

static char *number_shown(enum cell_form form, double number)
{
    const double size = fabs(number);
    if ((form == CELL_COUNT || form == CELL_RATIO) && size >= 1000)
        return grouped(number);
    if (form == CELL_COUNT)
        return xasprintf("%.*f", size < 100 && size > floor(size) ? 3 : 0, number);
    if (form == CELL_RATIO)
        return xasprintf("%.*f", size < 10 ? 2 : size < 100 ? 1 : 0, number);
    if (form == CELL_PERCENT)
        return percent_shown(number);
    if (form == CELL_SIGNED && size < 0.05)
        return xasprintf("0");
    if (form == CELL_SIGNED)
        return xasprintf("%+.*f %%", size < 100 ? 1 : 0, number);
    if (size >= 1000)
        return grouped(number);
    if (size > 0 && size < 0.005)
        return xasprintf("< 0.01");
    return xasprintf("%.*f", size == floor(size) ? 0 : size < 10 ? 2 : 1, number);
}

char *table_shown(const struct table *t, int row, int column)
{
    const struct cell *cell = &t->rows[row].cells[column];
    char *number = isnan(cell->number) ? NULL : number_shown(t->columns[column].form, cell->number);
    if (!number)
        return xasprintf("%s", cell->text ? cell->text : "");
    if (!cell->text)
        return number;
    char *both = xasprintf("%s (%s)", number, cell->text);
    free(number);
    return both;
}

/* --- CSV --- */

void csv_field(struct text *out, const char *field)
{
    if (!strpbrk(field, "\",\r\n")) {
        text_printf(out, "%s", field);
        return;
    }
    text_printf(out, "\"");
    for (; *field; field++)
        text_printf(out, "%s%c", *field == '"' ? "\"" : "", *field);
    text_printf(out, "\"");
}

static void csv_cell(struct text *out, const struct column *column, const struct cell *cell)
{
    text_printf(out, ",");
    if (!isnan(cell->number))
        text_printf(out, "%.10g", cell->number);
    else if (column->form == CELL_TEXT && cell->text)
        csv_field(out, cell->text);
}

void table_csv(const struct table *t, struct text *out)
{
    csv_field(out, t->row_head);
    for (int k = 0; k < t->column_count; k++) {
        text_printf(out, ",");
        csv_field(out, t->columns[k].head);
    }
    text_printf(out, "\r\n");
    for (int i = 0; i < t->row_count; i++) {
        csv_field(out, t->rows[i].head);
        for (int k = 0; k < t->column_count; k++)
            csv_cell(out, &t->columns[k], &t->rows[i].cells[k]);
        text_printf(out, "\r\n");
    }
}

/* --- HTML --- */

void html_escape(struct text *out, const char *text)
{
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c == '&')
            text_printf(out, "&amp;");
        else if (c == '<')
            text_printf(out, "&lt;");
        else if (c == '>')
            text_printf(out, "&gt;");
        else if (c == '"')
            text_printf(out, "&quot;");
        else if (c == '\'')
            text_printf(out, "&#39;");
        else if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7F)
            text_printf(out, "\xEF\xBF\xBD");
        else
            text_add(out, text, 1);
    }
}

static void html_cell(struct text *out, const struct table *t, int row, int column)
{
    char *shown = table_shown(t, row, column);
    const bool words = t->rows[row].cells[column].text != NULL;
    text_printf(out, t->columns[column].form == CELL_TEXT ? "<td>"
                     : words                              ? "<td class=\"num words\">"
                                                          : "<td class=\"num\">");
    if (*shown)
        html_escape(out, shown);
    else
        text_printf(out, "<span aria-hidden=\"true\">\xE2\x80\x93</span>"
                         "<span class=\"unseen\">none</span>");
    text_printf(out, "</td>");
    free(shown);
}

static void html_head(struct text *out, const struct table *t)
{
    text_printf(out, "<thead><tr><th scope=\"col\">");
    html_escape(out, t->row_head);
    text_printf(out, "</th>");
    for (int k = 0; k < t->column_count; k++) {
        text_printf(out, "<th scope=\"col\"%s>",
                    t->columns[k].form == CELL_TEXT ? "" : " class=\"num\"");
        html_escape(out, t->columns[k].head);
        text_printf(out, "</th>");
    }
    text_printf(out, "</tr></thead>\n");
}

void table_html(const struct table *t, struct text *out)
{
    text_printf(out, "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-labelledby=\"");
    html_escape(out, t->id);
    text_printf(out, "-caption\">\n<table id=\"");
    html_escape(out, t->id);
    text_printf(out, "\">\n<caption id=\"");
    html_escape(out, t->id);
    text_printf(out, "-caption\">");
    html_escape(out, t->caption);
    text_printf(out, "</caption>\n");
    html_head(out, t);
    text_printf(out, "<tbody>\n");
    for (int i = 0; i < t->row_count; i++) {
        text_printf(out, "<tr><th scope=\"row\">");
        html_escape(out, t->rows[i].head);
        text_printf(out, "</th>");
        for (int k = 0; k < t->column_count; k++)
            html_cell(out, t, i, k);
        text_printf(out, "</tr>\n");
    }
    text_printf(out, "</tbody>\n</table>\n</div>\n");
}
