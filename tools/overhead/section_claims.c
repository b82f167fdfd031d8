/* Section 7: claims and verdicts. */
#include "overhead/claims.h"
#include "overhead/sections.h"

void section_claims(struct document *d, enum emu_kind emu)
{
    struct claim_result results[CLAIMS];
    bool any = false;
    struct table *t = table_new(xasprintf("claims-%s", emu_names[emu]), "Claim", "%s: the claims",
                                emu_titles[emu]);
    const int verdict = table_column(t, CELL_TEXT, "Verdict"),
              measured = table_column(t, CELL_TEXT, "Measured"),
              rule = table_column(t, CELL_TEXT, "Rule of the verdict");
    claims_judge(d->figures, emu, results);
    for (int i = 0; i < CLAIMS; i++) {
        any |= results[i].verdict != VERDICT_UNKNOWN;
        table_row(t, "%s", results[i].claim);
        table_text(t, verdict, "%s", verdict_names[results[i].verdict]);
        table_text(t, measured, "%s", results[i].figures);
        table_text(t, rule, "%s", results[i].rule);
    }
    claims_free(results);
    if (any)
        document_keep(d, "claims", t);
    else
        table_free(t);
}
