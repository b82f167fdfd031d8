/* The monitor's pure parts: line editor, words, names. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/line.h"
#include "monitor/words.h"
#include "pte_words.h"
#include "x86.h"

static char shown[4096];

static void show(const char *text)
{
    if (strlen(shown) + strlen(text) < sizeof(shown))
        strcat(shown, text);
}

static struct line line;

static enum line_event feed(const char *bytes)
{
    enum line_event last = LINE_MORE;
    for (; *bytes; bytes++)
        last = line_byte(&line, (uint8_t)*bytes);
    return last;
}

static void begin(void)
{
    shown[0] = 0;
    line_init(&line, show);
}

Test(monitor_line, a_line_is_edited, .init = begin)
{
    cr_assert_eq(feed("helq\b\x7flp rx\177egs"), LINE_MORE);
    cr_assert_str_eq(line.text, "help regs");
    cr_assert_eq(feed("\x17"), LINE_MORE);
    cr_assert_str_eq(line.text, "help ");
    feed("\x15 stack");
    cr_assert_eq(feed("\r"), LINE_READY);
    cr_assert_str_eq(line.text, " stack");
    line_clear(&line);
    cr_assert_eq(feed("\n"), LINE_MORE, "CR LF is one end");
    cr_assert_eq(feed("\n"), LINE_READY, "but LF alone is one, too");
}

Test(monitor_line, old_lines_come_back, .init = begin)
{
    static const char *const lines[] = {"one", "two", "two", "three"};
    for (unsigned i = 0; i < ARRAY_LEN(lines); i++) {
        feed(lines[i]);
        cr_assert_eq(feed("\n"), LINE_READY);
        line_clear(&line);
    }
    feed("\x1b[A");
    cr_assert_str_eq(line.text, "three");
    feed("\x1b[A\x10");
    cr_assert_str_eq(line.text, "one", "a line that is repeated counts once");
    feed("\x10\x10");
    cr_assert_str_eq(line.text, "one");
    feed("\x0e");
    cr_assert_str_eq(line.text, "two");
    feed("\x1b[B\x1b[B\x1b[B");
    cr_assert_str_eq(line.text, "");
    feed("\x1b[1;5Cx\x1bOy");
    cr_assert_str_eq(line.text, "xy", "other sequences are swallowed: got %s", line.text);
}

Test(monitor_line, what_is_too_long_is_dropped_as_a_whole, .init = begin)
{
    for (unsigned i = 0; i < LINE_SIZE + 50; i++)
        cr_assert_eq(line_byte(&line, 'a'), LINE_MORE);
    cr_assert_eq(feed("\n"), LINE_TOO_LONG);
    cr_assert_eq(line.length, 0u);
    feed("regs");
    cr_assert_eq(feed("\n"), LINE_READY);
    cr_assert_str_eq(line.text, "regs");
}

Test(monitor_line, the_longest_line_fits, .init = begin)
{
    for (unsigned i = 0; i + 1 < LINE_SIZE; i++)
        line_byte(&line, 'b');
    cr_assert_eq(feed("\r"), LINE_READY);
    cr_assert_eq(strlen(line.text), LINE_SIZE - 1);
}

Test(monitor_line, keys_with_a_meaning_are_told, .init = begin)
{
    cr_assert_eq(feed("\t"), LINE_TAB);
    cr_assert_eq(feed("\x1d"), LINE_QUOTED);
    feed("abc");
    cr_assert_eq(feed("\x03"), LINE_GIVEN_UP);
    cr_assert_str_eq(line.text, "");
}

Test(monitor_line, a_program_gets_no_echo_and_cannot_edit)
{
    shown[0] = 0;
    line_init(&line, NULL);
    feed("regs");
    cr_assert_eq(feed("\n"), LINE_READY);
    cr_assert_str_eq(line.text, "regs");
    line_clear(&line);
    feed("re\bgs");
    cr_assert_eq(feed("\n"), LINE_TOO_LONG, "a damaged line is dropped");
    feed("\xff\xfe");
    cr_assert_eq(feed("\n"), LINE_TOO_LONG);
    cr_assert_str_eq(shown, "");
}

/* The sanitizers watch the buffer; here: text stays a string of printable characters. */
Test(monitor_line, random_bytes_do_no_harm)
{
    srand(7);
    for (int round = 0; round < 200; round++) {
        line_init(&line, round & 1 ? show : NULL);
        for (int i = 0; i < 3000; i++) {
            const enum line_event e = line_byte(&line, (uint8_t)(rand() >> 5));
            shown[0] = 0;
            cr_assert_lt(line.length, LINE_SIZE);
            cr_assert_eq(strlen(line.text), line.length);
            for (unsigned k = 0; k < line.length; k++)
                cr_assert(line.text[k] >= ' ' && line.text[k] < 0x7F);
            if (e == LINE_READY)
                line_clear(&line);
            if (i % 500 == 0)
                line_add(&line, "walk space_load");
        }
    }
}

Test(monitor_words, a_line_has_words)
{
    char text[] = "  x  /4b   esp ";
    char *word[WORDS_MAX];
    cr_assert_eq(words_split(text, word), 3);
    cr_assert_str_eq(word[0], "x");
    cr_assert_str_eq(word[1], "/4b");
    cr_assert_str_eq(word[2], "esp");
    char many[] = "a b c d e f g h i";
    cr_assert_eq(words_split(many, word), WORDS_MAX + 1);
    char none[] = "   ";
    cr_assert_eq(words_split(none, word), 0);
}

Test(monitor_words, numbers_are_checked)
{
    uint32_t v = 1;
    cr_assert(word_number("4294967295", &v) && v == UINT32_MAX);
    cr_assert(word_number("0xC0100000", &v) && v == 0xC0100000u);
    cr_assert(word_address("c0100000", &v) && v == 0xC0100000u);
    cr_assert(word_address("0X10", &v) && v == 16);
    static const char *const bad[] = {"", "0x", "4294967296", "12a", "-1", "0x100000000", "1 "};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_not(word_number(bad[i], &v), "'%s' is taken", bad[i]);
    cr_assert_not(word_address("100000000", &v));
    cr_assert_not(word_address("space", &v));
}

static const char *const names[] = {"break", "breaks", "scan", "segments", "stack", "stats"};
static const char *name(int i)
{
    return names[i];
}

Test(monitor_words, names_are_found_by_their_beginning)
{
    const int n = ARRAY_LEN(names);
    unsigned common;
    cr_assert_eq(name_find("scan", name, n, &common), 2);
    cr_assert_eq(name_find("sc", name, n, &common), 2);
    cr_assert_eq(common, 4u);
    cr_assert_eq(name_find("break", name, n, &common), 0, "the name itself before longer ones");
    cr_assert_eq(name_find("b", name, n, &common), NAME_MANY);
    cr_assert_eq(common, 5u);
    cr_assert_eq(name_find("st", name, n, &common), NAME_MANY);
    cr_assert_eq(common, 3u);
    cr_assert_eq(name_find("s", name, n, &common), NAME_MANY);
    cr_assert_eq(common, 1u);
    cr_assert_eq(name_find("scans", name, n, &common), NAME_NONE);
    cr_assert_eq(name_find("", name, n, &common), NAME_MANY);
    cr_assert_eq(common, 0u);
}

Test(monitor_words, a_mistyped_name_is_guessed)
{
    const int n = ARRAY_LEN(names);
    cr_assert_eq(name_like("brek", name, n), 0);
    cr_assert_eq(name_like("stakc", name, n), 4);
    cr_assert_eq(name_like("segmets", name, n), 3);
    cr_assert_eq(name_like("zzzzzz", name, n), NAME_NONE);
    cr_assert_eq(name_like("a-word-much-longer-than-any-name", name, n), NAME_NONE);
}

Test(monitor_words, json_strings_hold_anything)
{
    char to[64];
    json_escape(to, sizeof(to), "a\"b\\c\n\x01\x7f\xff");
    cr_assert_str_eq(to, "a\\\"b\\\\c\\u000a\\u0001\\u007f\\u00ff");
    char small[10];
    json_escape(small, sizeof(small), "abcdefghijkl\n");
    cr_assert_lt(strlen(small), sizeof(small));
    cr_assert_eq(strncmp(small, "abc", 3), 0);
}

Test(monitor_words, entries_are_told_in_words)
{
    char to[120];
    cr_assert_str_eq(pte_words(PTE_P | PTE_W | PTE_A, to, sizeof(to)),
                     "present, writable, kernel only, accessed");
    cr_assert_str_eq(pte_words(PTE_P | PTE_U | PTE_G | PTE_NX, to, sizeof(to)),
                     "present, read-only, for programs too, global, no-execute");
    cr_assert_str_eq(pte_words(PTE_W | PTE_U, to, sizeof(to)), "not present");
    char small[12];
    pte_words(UINT64_MAX, small, sizeof(small));
    cr_assert_lt(strlen(small), sizeof(small));
}
