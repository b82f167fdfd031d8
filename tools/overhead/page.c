#include "overhead/page.h"

#include <stdlib.h>
#include <string.h>

/* Black on white and dark greys: the contrast is above 7 to 1 everywhere. What is narrow scrolls by
 * itself, so that the page never does sideways. */
static const char style[] =
    "html{font:16px/1.5 'DejaVu Sans',Verdana,sans-serif;color:#1a1a1a;background:#fff}"
    "body{margin:0 auto;padding:0 1rem 3rem;max-width:62rem;overflow-wrap:break-word}"
    "h1{font-size:1.7rem;line-height:1.2;margin:1.5rem 0 .5rem}"
    "h2{font-size:1.35rem;margin:2.5rem 0 .5rem;border-top:2px solid #1a1a1a;padding-top:.6rem}"
    "h3{font-size:1.1rem;margin:1.5rem 0 .25rem}"
    "p,ul{max-width:46rem}a{color:#00408a}"
    ".scroll{overflow-x:auto;margin:1rem 0}.scroll:focus{outline:2px solid #00408a}"
    "table{border-collapse:collapse;font-size:.84rem;line-height:1.35}"
    "caption{text-align:left;font-weight:bold;padding:.3rem 0}"
    "th,td{padding:.25rem .6rem;border-bottom:1px solid #999;text-align:left;vertical-align:top}"
    "thead th{border-bottom:2px solid #1a1a1a;vertical-align:bottom}"
    "tbody th{font-weight:normal;min-width:8rem;position:sticky;left:0;background:#fff}"
    ".num{text-align:right;white-space:nowrap}"
    ".words{white-space:normal;min-width:7rem}thead .num{white-space:normal}.wide "
    "td{min-width:11rem}"
    "figure{margin:1rem 0}.plot{display:block;width:100%;min-width:38rem;height:auto}"
    ".unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}"
    ".model{border-left:6px double #1a1a1a;padding-left:.8rem}"
    ".problem{border:2px solid #8a0000;padding:.5rem .8rem}"
    ".formula{font-family:'DejaVu Sans Mono',monospace;font-size:.9rem;display:block;"
    "margin:.4rem 0 .4rem 1rem}"
    "@media print{html{font-size:10px}body{max-width:none}.scroll{overflow:visible}"
    ".plot{min-width:0}figure,tr{break-inside:avoid}h2,h3,caption{break-after:avoid}"
    "a{color:inherit;text-decoration:none}}";

static const struct section {
    const char *id, *title, *text; /* text: HTML, and no measured figure in it */
} sections[] = {
    {"how", "1. What was measured, and how",
     "<p>One guest, the teaching kernel Minnow with its programs, runs the same benchmark in every "
     "configuration: on the bare machine (native) and below Trivisor. The guest is the same file "
     "everywhere. The machines are emulated, by QEMU and by Bochs.</p>\n"
     "<p>The unit is the <strong>tick</strong>: an instruction that the emulated CPU executed. In "
     "both emulators the time stamp counter counts them, so figures repeat to the last digit, "
     "on any computer. For most operations the figure is the median of several batches, "
     "less the loop around them; for compute and compute-kernel, a step of arithmetic, which is "
     "shorter than what a whole number can tell, it is the mean with the loop and with what "
     "interrupted it. Waiting for a disk does not count.</p>\n"
     "<p>There is one exception: on the bare machine QEMU's own disk answers in the host's time. "
     "What rests on it there, workloads with a disk and means, does not repeat. It stands in a "
     "table of its own at the end of section 3, and no other figure of this page depends on "
     "it.</p>\n"
     "<p>Ticks <strong>do not contain</strong> what silicon charges for an exception, a VM exit, a "
     "miss of a cache or of the TLB. They are the length of the software's paths. The emulators "
     "charge next to nothing for an exit, so modes with many cheap exits look better here than on "
     "a processor; section 6 says by how much, in a model.</p>\n"
     "<p>An <strong>exit</strong> is an entry into the VMM that it counts by reason. Calls of mode "
     "para that end in a few instructions, and what waits in its queue, are not exits. What "
     "measuring itself causes is taken away.</p>\n"
     "<p>Published figures are quoted with their source and always labelled. None of them was "
     "measured here.</p>\n"},
    {"nano", "2. Single events",
     "<p>Adams and Agesen (A Comparison of Software and Hardware Techniques for x86 "
     "Virtualization, ASPLOS 2006) timed seven operations on a bare machine, in a software VMM by "
     "binary translation, and in a hardware VMM on the first CPUs with VT-x. Here are ours in "
     "ticks beside theirs in cycles. Only multiples of native can be compared, and those with "
     "care: a cycle is time, a tick is not. Where the paper has words and no number, the words "
     "stand beside the number that follows from them.</p>\n"
     "<ul><li>Their hardware VMM had no nested paging: its nearest relative here is the "
     "configuration with shadow paging, their software VMM's is trap.</li>\n"
     "<li>Their cr8wr writes CR8, which exists in 64-bit mode only. Minnow has 32 bits and writes "
     "CR0 (cr-write).</li>\n"
     "<li>Their in reads port 0x80; on their bare machine that was a slow access to a real bus, "
     "here it is one instruction.</li>\n"
     "<li>Their ptemod changes entries that are in use and traced. Trivisor's shadow page tables "
     "follow the guest's at the next flush of the TLB, as a TLB does, so pte-mod costs nothing; "
     "what it costs later is in the workloads that flush.</li></ul>\n"},
    {"programs", "3. Services and programs",
     "<p>What the guest's kernel does for programs, and small programs, against native. Workloads "
     "with a disk and means have no native figure that repeats in QEMU; Bochs has them all. "
     "Xen's figures are from Barham et al. (Xen and the Art of "
     "Virtualization, SOSP 2003): lmbench on Linux, in time. The kernels, their services and the "
     "units differ, so only the order of magnitude of the multiples tells something. lmbench's "
     "fork is left out, as Minnow's bench has no fork without an exec.</p>\n"},
    {"exits", "4. Why the guest leaves",
     "<p>Exits by kind and by reason. Workloads differ by thousands, so the plots show per cent of "
     "the exits that mode trap needs for the same work. The names of the reasons are those of the "
     "VMM's own statistics.</p>\n"},
    {"ablation", "5. What the pieces are worth",
     "<p>Each mechanism of mode para is left out alone, then all are. Less than half a tenth of a "
     "per cent is shown as 0. What waits for a disk meets timer ticks at other moments when "
     "anything changes: a few per cent there may be that. A mechanism of no worth in a workload "
     "is not used there.</p>\n"},
    {"paging", "Shadow against nested paging",
     "<p>The same mode with the page tables of the hardware and with shadow page tables. Nested "
     "paging is not charged for its longer walks here: a tick is an instruction.</p>\n"},
    {"disk", "The hybrid: a disk by ATA or by virtio",
     "<p>The guest's disk is the same one, reached by an emulated ATA drive or by virtio. "
     "disk-driver is one request of the driver, so its exits are the exits of a disk "
     "request.</p>\n"},
    {"model", "6. A cost model, not a measurement",
     "<p>What the counted exits would cost on silicon, worked out from published cycles. Nothing "
     "in this section was measured on a processor.</p>\n"
     "<p>G: ticks of the operation on the bare machine. V: ticks that the VMM adds. E: exits of "
     "one operation. P: those of them that are page faults of the VMM's own. N: events of the "
     "guest's own (system calls, exceptions, interrupts), as mode trap counts them. c, e, p: "
     "published cycles of an exit with its entry, an exception, a page fault. Ticks, the VMM's "
     "among them, are taken as cycles at one instruction a cycle (CPI 1).</p>\n"
     "<p>Hardware modes: <span class=\"formula\">(G + V + E \xC3\x97 c) / G</span> "
     "Software modes: <span class=\"formula\">(G + V + P \xC3\x97 p + (E \xE2\x88\x92 P) \xC3\x97 "
     "e) "
     "/ (G + N \xC3\x97 e)</span></p>\n"
     "<p>Left out: the guest's own events in the hardware modes, which cost the same with and "
     "without a VMM (so their multiples are rather too high); caches; the TLB, and with it the "
     "longer walks of nested paging. Costs of exceptions are known for one old CPU only, so the "
     "software modes cannot be compared with the hardware modes of newer ones. CPUs without nested "
     "paging "
     "(Core 2) are shown with shadow paging only.</p>\n"},
    {"claims", "7. Claims, and what the figures say",
     "<p>The verdicts are computed from the figures by the rules beside them. A verdict is about "
     "this VMM, this guest and this unit. A claim is judged where all of its workloads have "
     "figures "
     "that repeat: those against native on disks and means in Bochs only.</p>\n"},
    {"efficiency", "8. Efficiency",
     "<p>Popek and Goldberg ask of a VMM that most of the guest's instructions run directly on the "
     "CPU. Direct: of the instructions that the workload executes on the bare machine, the part "
     "that needed no exit; an exit stands for one instruction at most, so it is a lower bound. "
     "VMM: of all ticks, those beyond the bare machine's, which are the VMM's. Where the guest has "
     "a virtio disk it runs another driver than on the bare machine, and there is nothing to "
     "compare.</p>\n"},
};
#define SECTION_COUNT ((int)(sizeof(sections) / sizeof(sections[0])))

/* "Shadow against nested paging" belongs to section 5. */
static bool is_part(const struct section *s)
{
    return *s->title < '0' || *s->title > '9';
}

static bool has_tables(const struct document *d, const char *section)
{
    for (int i = 0; i < d->count; i++) {
        if (!strcmp(d->entries[i].section, section))
            return true;
    }
    return false;
}

static void plot_html(struct text *out, const struct page *page, const struct plot *plot)
{
    char *svg = plot->table && page->plots ? plot_svg(plot, page->plots) : NULL;
    if (!svg)
        return;
    text_printf(out,
                "<figure>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"");
    html_escape(out, plot->title);
    text_printf(out, "\">\n%s</div>\n<figcaption>", svg);
    html_escape(out, plot->title);
    text_printf(out, "</figcaption>\n</figure>\n");
    free(svg);
}

static void entry_html(struct text *out, const struct page *page, const struct entry *entry)
{
    plot_html(out, page, &entry->plot);
    if (entry->folded)
        text_printf(out, "<details><summary>All reasons</summary>\n");
    table_html(entry->table, out);
    if (entry->folded)
        text_printf(out, "</details>\n");
}

static void unrepeated_html(struct text *out, const struct page *page)
{
    if (!page->unrepeated)
        return;
    text_printf(out, "<h3>Figures that do not repeat</h3>\n<p>QEMU's own disk answers in the "
                     "host's time. These are of this one run, and of no use for comparisons; no "
                     "other figure of this page depends on them.</p>\n");
    table_html(page->unrepeated, out);
}

static void section_html(struct text *out, const struct page *page, const struct section *s)
{
    const struct document *d = page->document;
    if (!has_tables(d, s->id))
        return;
    text_printf(out,
                is_part(s) ? "<h3 id=\"section-%s\">%s</h3>\n" : "<h2 id=\"section-%s\">%s</h2>\n",
                s->id, s->title);
    text_printf(out, "%s<div class=\"%s\">\n", s->text,
                !strcmp(s->id, "model")    ? "model"
                : !strcmp(s->id, "claims") ? "wide"
                                           : "plain");
    for (int i = 0; i < d->count; i++) {
        if (!strcmp(d->entries[i].section, s->id))
            entry_html(out, page, &d->entries[i]);
    }
    text_printf(out, "</div>\n");
    if (!strcmp(s->id, "programs"))
        unrepeated_html(out, page);
}

static void contents(struct text *out, const struct document *d)
{
    text_printf(out, "<nav aria-label=\"Sections\"><ul>\n");
    for (int i = 0; i < SECTION_COUNT; i++) {
        if (!is_part(&sections[i]) && has_tables(d, sections[i].id))
            text_printf(out, "<li><a href=\"#section-%s\">%s</a></li>\n", sections[i].id,
                        sections[i].title);
    }
    text_printf(out, "</ul></nav>\n");
}

static void problems_html(struct text *out, const cJSON *problems)
{
    const cJSON *one;
    if (!cJSON_GetArraySize(problems))
        return;
    text_printf(out, "<div class=\"problem\" role=\"alert\"><p>Not all went well; what is missing "
                     "below is missing because of this:</p>\n<ul>\n");
    cJSON_ArrayForEach(one, problems)
    {
        text_printf(out, "<li>");
        html_escape(out, cJSON_IsString(one) ? one->valuestring : "?");
        text_printf(out, "</li>\n");
    }
    text_printf(out, "</ul></div>\n");
}

char *page_html(const struct page *page)
{
    struct text out = {0};
    text_printf(&out,
                "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n"
                "<head>\n<meta charset=\"utf-8\"/>\n<title>Trivisor: what virtualization "
                "costs</title>\n<meta name=\"viewport\" content=\"width=device-width, "
                "initial-scale=1\"/>\n<style>%s</style>\n</head>\n<body>\n<main>\n"
                "<h1>Trivisor: what virtualization costs</h1>\n",
                style);
    if (page->quick)
        text_printf(&out, "<p><strong>The quick form:</strong> few workloads, in QEMU only. The "
                          "whole report is what <code>make report</code> writes.</p>\n");
    problems_html(&out, page->problems);
    contents(&out, page->document);
    for (int i = 0; i < SECTION_COUNT; i++)
        section_html(&out, page, &sections[i]);
    text_printf(&out, "</main>\n</body>\n</html>\n");
    return out.text;
}
