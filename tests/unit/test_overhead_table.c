/* The overhead report's tables: what is shown, CSV, HTML; and plots as parts of a page. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "overhead/plot.h"
#include "overhead/table.h"

static void expect_field(const char *field, const char *want)
{
    struct text t = {0};
    text_add(&t, "", 0);
    csv_field(&t, field);
    cr_expect_str_eq(t.text, want);
    text_free(&t);
}

/* RFC 4180, section 2. */
Test(overhead_table, csv_quoting)
{
    expect_field("plain", "plain");
    expect_field("", "");
    expect_field("a,b", "\"a,b\"");
    expect_field("say \"no\"", "\"say \"\"no\"\"\"");
    expect_field("two\nlines", "\"two\nlines\"");
    expect_field("\r", "\"\r\"");
    expect_field("'", "'");
}

static void expect_html(const char *text, const char *want)
{
    struct text t = {0};
    text_add(&t, "", 0);
    html_escape(&t, text);
    cr_expect_str_eq(t.text, want);
    text_free(&t);
}

Test(overhead_table, html_escaping)
{
    expect_html("plain, \xC3\x97", "plain, \xC3\x97");
    expect_html("<b>&amp;</b>", "&lt;b&gt;&amp;amp;&lt;/b&gt;");
    expect_html("\" onload='x'", "&quot; onload=&#39;x&#39;");
    expect_html("a\001\033\x7F"
                "b\t\n",
                "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
                "b\t\n");
}

static void expect_shown(enum cell_form form, double number, const char *text, const char *want)
{
    struct table *t = table_new("t", "row", "caption");
    const int column = table_column(t, form, "column");
    table_row(t, "row");
    table_number(t, column, number);
    if (text)
        table_text(t, column, "%s", text);
    char *shown = table_shown(t, 0, column);
    cr_expect_str_eq(shown, want);
    free(shown);
    table_free(t);
}

Test(overhead_table, numbers_as_shown)
{
    expect_shown(CELL_COUNT, 0, NULL, "0");
    expect_shown(CELL_COUNT, 999, NULL, "999");
    expect_shown(CELL_COUNT, 1000, NULL, "1,000");
    expect_shown(CELL_COUNT, 1234567, NULL, "1,234,567");
    expect_shown(CELL_COUNT, 5.0234, NULL, "5.023");
    expect_shown(CELL_COUNT, 2242, "native + about 2000", "2,242 (native + about 2000)");
    expect_shown(CELL_COUNT, NAN, NULL, "");
    expect_shown(CELL_COUNT, INFINITY, NULL, "");
    expect_shown(CELL_RATIO, 1.004, NULL, "1.00");
    expect_shown(CELL_RATIO, 61.54, NULL, "61.5");
    expect_shown(CELL_RATIO, 716, NULL, "716");
    expect_shown(CELL_RATIO, 12733, NULL, "12,733");
    expect_shown(CELL_DECIMAL, 0.001, NULL, "< 0.01");
    expect_shown(CELL_DECIMAL, 1.42, NULL, "1.42");
    expect_shown(CELL_DECIMAL, 98.05, NULL, "98.0");
    expect_shown(CELL_DECIMAL, 3, NULL, "3");
    expect_shown(CELL_PERCENT, 0, NULL, "0");
    expect_shown(CELL_PERCENT, -0.01, NULL, "0.0 %");
    expect_shown(CELL_PERCENT, 99.99999, NULL, "> 99.999 %");
    expect_shown(CELL_PERCENT, 99.5, NULL, "99.500 %");
    expect_shown(CELL_PERCENT, 100, NULL, "100.0 %");
    expect_shown(CELL_SIGNED, 0.04, NULL, "0");
    expect_shown(CELL_SIGNED, 7.43, NULL, "+7.4 %");
    expect_shown(CELL_SIGNED, -0.3, NULL, "-0.3 %");
    expect_shown(CELL_SIGNED, 24740, NULL, "+24740 %");
    expect_shown(CELL_TEXT, NAN, "words", "words");
}

/* Two columns; the second row has nothing in the first. */
static struct table *sample(void)
{
    struct table *t = table_new("the-id", "Who, \"where\"", "A <caption>");
    const int ticks = table_column(t, CELL_COUNT, "ticks & more"),
              what = table_column(t, CELL_TEXT, "what");
    table_row(t, "one");
    table_number(t, ticks, 1234.25);
    table_text(t, what, "x < y");
    table_row(t, "two, too");
    table_text(t, what, "%s", "");
    return t;
}

Test(overhead_table, as_csv)
{
    struct table *t = sample();
    struct text out = {0};
    table_csv(t, &out);
    cr_expect_str_eq(out.text, "\"Who, \"\"where\"\"\",ticks & more,what\r\n"
                               "one,1234.25,x < y\r\n"
                               "\"two, too\",,\r\n");
    text_free(&out);
    table_free(t);
}

Test(overhead_table, as_html)
{
    struct table *t = sample();
    struct text out = {0};
    table_html(t, &out);
    cr_expect_not_null(
        strstr(out.text, "<caption id=\"the-id-caption\">A &lt;caption&gt;</caption>"));
    cr_expect_not_null(strstr(out.text, "aria-labelledby=\"the-id-caption\""));
    cr_expect_not_null(strstr(out.text, "<th scope=\"col\">Who, &quot;where&quot;</th>"));
    cr_expect_not_null(strstr(out.text, "<th scope=\"col\" class=\"num\">ticks &amp; more</th>"));
    cr_expect_not_null(strstr(out.text, "<tr><th scope=\"row\">one</th><td class=\"num\">1,234</td>"
                                        "<td>x &lt; y</td></tr>"));
    cr_expect_not_null(strstr(out.text, ">none</span></td><td>"));
    text_free(&out);
    table_free(t);
}

Test(overhead_table, used_or_not)
{
    struct table *t = table_new("t", "row", "caption");
    const int words = table_column(t, CELL_TEXT, "words"),
              number = table_column(t, CELL_COUNT, "number");
    table_row(t, "row");
    table_text(t, words, "some");
    cr_expect(!table_used(t));
    cr_expect(table_column_used(t, words));
    cr_expect(!table_column_used(t, number));
    table_number(t, number, NAN);
    cr_expect(!table_used(t));
    table_number(t, number, 0);
    cr_expect(table_used(t));
    table_free(t);
}

/* Ids get the figure's name in front, where they are given and where they are used. */
Test(overhead_table, plot_of_a_page)
{
    static const char svg[] =
        "<?xml version=\"1.0\"?>\n<svg width=\"5\">\n<title>Gnuplot</title>\n<desc>no</desc>\n"
        "<g id=\"gnuplot_canvas\"><defs><circle id='gpDot'/></defs><use xlink:href='#gpDot'/>"
        "<path fill=\"url(#p1)\"/><a href=\"#x\"/></g>\n</svg>\n";
    char *got = plot_element(svg, "plot-a", "Title <1>", "Text & more", 7, 9);
    cr_assert_not_null(got);
    cr_expect_not_null(strstr(got, "role=\"img\" aria-label=\"Title &lt;1&gt;\" "
                                   "aria-describedby=\"plot-a-desc\" viewBox=\"0 0 7 9\""));
    cr_expect_not_null(strstr(got, "<title>Title &lt;1&gt;</title>"));
    cr_expect_not_null(strstr(got, "<desc id=\"plot-a-desc\">Text &amp; more</desc>"));
    cr_expect_not_null(strstr(got, "<g id=\"plot-a-gnuplot_canvas\"><defs><circle "
                                   "id='plot-a-gpDot'/></defs><use xlink:href='#plot-a-gpDot'/>"
                                   "<path fill=\"url(#plot-a-p1)\"/><a href=\"#plot-a-x\"/></g>"));
    cr_expect_null(strstr(got, "Gnuplot"));
    cr_expect_str_eq(got + strlen(got) - 7, "</svg>\n");
    free(got);
    cr_expect_null(plot_element("<svg></svg>", "a", "b", "c", 1, 1));
    cr_expect_null(plot_element("", "a", "b", "c", 1, 1));
}
