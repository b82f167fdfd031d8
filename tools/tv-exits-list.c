/* tv-exits-list: why a guest leaves a hardware mode for the VMM, as tables in Markdown; each cause
 * with its reason, and with the names under which exits are counted. `make exits-list` calls it. */
#include <stdio.h>
#include <string.h>

#include "causes.h"
#include "lib/exit_names.h"
#include "lib/util.h"

static void print_list(const char *mode, const struct exit_cause *(*cause)(unsigned),
                       bool (*is_shadow)(unsigned))
{
    printf("| `%s`: the guest leaves at | because | counted as |\n|---|---|---|\n", mode);
    for (unsigned i = 0; cause(i); i++) {
        const struct exit_cause *c = cause(i);
        printf("| %s%s | %s | ", is_shadow(i) ? "`paging=shadow`: " : "", c->what, c->why);
        for (unsigned n = 0; n < 3 && (n == 0 || c->counted[n]); n++)
            printf("%s%s", n ? ", " : "", c->counted[n] ? exit_names[c->counted[n]] : "nothing");
        printf(" |\n");
    }
}

static const char usage[] =
    "usage: tv-exits-list [svm|vtx]\n"
    "Prints why a guest leaves a hardware mode for the VMM, as a table in Markdown: what happens, "
    "why\n"
    "that must not go on without the VMM, and the names under which such exits are counted.\n"
    "Without an argument both modes. Exit status 2: wrong usage.\n";

int main(int argc, char **argv)
{
    const char *only = argc == 2 ? argv[1] : "";
    if (!strcmp(only, "--help") || !strcmp(only, "-h")) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc > 2 || (*only && strcmp(only, "svm") && strcmp(only, "vtx")))
        die(STATUS_USAGE, "the modes with a list are svm and vtx (try --help)");
    if (strcmp(only, "vtx"))
        print_list("svm", svm_cause, svm_cause_is_shadow);
    if (!*only)
        printf("\n");
    if (strcmp(only, "svm"))
        print_list("vtx", vmx_cause, vmx_cause_is_shadow);
    return 0;
}
