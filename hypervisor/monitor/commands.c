/* The table of the monitor's commands, and what a line means. */
#include <string.h>

#include "monitor.h"
#include "vmm.h"
#include "words.h"

const struct command commands[] = {
    {"break", "ADDRESS [go]", 1, 2,
     "stop the guest before the instruction at ADDRESS; go: only count", command_break},
    {"breaks", "", 0, 0, "the breakpoints, and how often each was hit", command_breaks},
    {"continue", "", 0, 0, "let the guest run, and close the prompt", command_continue},
    {"delete", "N|all", 1, 1, "remove breakpoint N", command_delete},
    {"devices", "", 0, 0, "state of the virtual devices", command_devices},
    {"exits", "", 0, 0, "why the guest left for the VMM: counts, shares, ticks", command_exits},
    {"help", "[COMMAND]", 0, 1, "this list, or one command", command_help},
    {"hot", "[on|off|clear|show [N]]", 0, 2,
     "where in the guest exits happen; on: count them, which takes all short ways away",
     command_hot},
    {"inject", "VECTOR", 1, 1, "give the guest an external interrupt", command_inject},
    {"mode", "[MODE]", 0, 1,
     "the mode that runs the guest; or change it: trap, para, vtx, svm+shadow ...", command_mode},
    {"nested", "", 0, 0, "what the nested or shadow tables hold (hardware modes)", command_nested},
    {"patches", "", 0, 0, "what became of the guest's sites (mode para)", command_patches},
    {"pause", "", 0, 0, "stop the guest until continue", command_pause},
    {"quit", "[STATUS]", 0, 1, "end the guest and the machine", command_quit},
    {"regs", "", 0, 0, "registers, flags and control registers", command_regs},
    {"scan", "", 0, 0, "what was scanned of the guest's code (mode trap)", command_scan},
    {"segments", "", 0, 0, "segment registers with their hidden parts, GDTR and IDTR",
     command_segments},
    {"snapshot", "[off]", 0, 1,
     "save the guest on the snapshot drive, to go on from there later; off: and end it",
     command_snapshot},
    {"stack", "", 0, 0, "the guest's calls, by its frame pointers", command_stack},
    {"stats", "", 0, 0, "counters of the mode", command_stats},
    {"step", "[N]", 0, 1, "execute N instructions (1); interrupts wait meanwhile", command_step},
    {"trace", "[on|off]", 0, 1, "record every exit (for the host: make trace)", command_trace},
    {"walk", "ADDRESS", 1, 1, "what the CPU looks up to reach ADDRESS, level by level",
     command_walk},
    {"x", "[/N][b|w|d] ADDRESS", 1, 2, "N bytes, words or doublewords of guest memory: x /8d esp",
     command_x},
};
const int command_count = ARRAY_LEN(commands);

const char *command_name(int i)
{
    return commands[i].name;
}

static void usage(struct sink *sink, const struct command *c)
{
    say(sink, "usage: %s%s%s", c->name, *c->arguments ? " " : "", c->arguments);
}

bool command_help(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    unsigned common;
    (void)vm;
    if (argc > 1) {
        const int i = name_find(argv[1], command_name, command_count, &common);
        if (i < 0) {
            say(sink, "there is no command '%s'; 'help' lists them", argv[1]);
            return false;
        }
        say(sink, "%s %s", commands[i].name, commands[i].arguments);
        say(sink, "  %s", commands[i].help);
        return true;
    }
    for (int i = 0; i < command_count; i++) {
        char left[48];
        ksnprintf(left, sizeof(left), "%s %s", commands[i].name, commands[i].arguments);
        say(sink, "%-34s %s", left, commands[i].help);
    }
    say(sink, "A command may be shortened while it stays clear, Tab completes it. ADDRESS is "
              "hexadecimal,");
    say(sink, "a symbol of the guest's kernel or a register, perhaps with +N. Ctrl-] goes to the "
              "guest.");
    return true;
}

/* One error that helps. */
static void unknown(struct sink *sink, const char *word, int found)
{
    char list[160] = "";
    unsigned n = 0;
    const int like = name_like(word, command_name, command_count);
    if (found == NAME_MANY) {
        for (int i = 0; i < command_count && n + 16 < sizeof(list); i++) {
            if (!strncmp(commands[i].name, word, strlen(word)))
                n += (unsigned)ksnprintf(list + n, sizeof(list) - n, "%s%s", n ? ", " : "",
                                         commands[i].name);
        }
        say(sink, "'%s' may be %s", word, list);
    } else if (like >= 0) {
        say(sink, "there is no command '%s'; did you mean '%s'?", word, commands[like].name);
    } else {
        say(sink, "there is no command '%s'; 'help' lists them", word);
    }
}

bool command_run(struct vm *vm, struct sink *sink, char *line,
                 void (*begin)(struct sink *sink, const char *name))
{
    static char none[] = "";
    char *word[WORDS_MAX] = {none};
    unsigned common;
    const int argc = words_split(line, word);
    /* x/4d is x /4d, as in gdb. */
    char *const slash = argc && argc <= WORDS_MAX - 1 ? strchr(word[0], '/') : NULL;
    if (slash) {
        static char count[32], first[32];
        ksnprintf(count, sizeof(count), "%s", slash);
        *slash = 0;
        ksnprintf(first, sizeof(first), "%s", word[0]);
        memmove(word + 2, word + 1, sizeof(word[0]) * (unsigned)(argc - 1));
        word[0] = first;
        word[1] = count;
    }
    const int n = slash ? argc + 1 : argc;
    const int i = n ? name_find(word[0], command_name, command_count, &common) : NAME_NONE;
    begin(sink, i < 0 ? word[0] : commands[i].name);
    if (i < 0) {
        unknown(sink, word[0], i);
        return false;
    }
    const struct command *c = &commands[i];
    if (n - 1 < c->least || n - 1 > c->most) {
        usage(sink, c);
        return false;
    }
    vm->vcpu.mode->sync(&vm->vcpu);
    word[0] = (char *)c->name;
    return c->run(vm, sink, n, word);
}
