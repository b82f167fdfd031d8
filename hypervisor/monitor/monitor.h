/*
 * The monitor: a person (Ctrl-] on the console, COM1) or a program (lines on COM2) looks at the
 * guest and controls it. monitor.c has the two lines and the turns; commands.c the table of
 * commands; the other files a group of commands each.
 *
 * The monitor gets its turns between two exits, where mode->sync() makes the canonical state
 * current. Whoever wants one sets vm->stopped, which ends the usual loop (vm_loop.c); so a run that
 * nobody looks at pays nothing.
 */
#ifndef TRIVISOR_MONITOR_H
#define TRIVISOR_MONITOR_H

#include "mode.h"
#include "sink.h"
#include "vm.h"

/* --- for the VMM proper --- */

/* Before the guest's first instruction, in the attached mode: listen on COM2, and run the script
 * that monitor= of the options holds. NULL, or a sentence: a command of the script failed. */
const char *monitor_start(struct vm *vm);

/* A byte has come on the console: is it for the monitor? */
bool monitor_wants(struct vm *vm, uint8_t byte);

/* vm->stopped is set: see what the matter is. Returns false when the guest has ended. */
bool monitor_turn(struct vm *vm);

/* The guest has ended: a record for each breakpoint that is left, with how often it was hit. */
void monitor_finish(void);

/* Around a change of mode: take all breakpoints out of the guest's memory; then put them back, and
 * tell the new mode what is watched. */
void monitor_leave_mode(struct vm *vm);
void monitor_enter_mode(struct vm *vm);

/* --- for commands --- */

/* A command: prints into the sink; false: it could not do what was asked (and has said why).
 * argv[0] is the command's full name. The canonical state is current. */
struct command {
    const char *name;
    const char *arguments; /* for people: "ADDRESS [N]" */
    int least, most;       /* how many arguments */
    const char *help;
    bool (*run)(struct vm *vm, struct sink *sink, int argc, char **argv);
};
extern const struct command commands[];
extern const int command_count;
const char *command_name(int i);

/* Run a line, which is changed. begin() is told the command's full name, or the word that is none,
 * before anything is said. Returns whether the command succeeded. */
bool command_run(struct vm *vm, struct sink *sink, char *line,
                 void (*begin)(struct sink *sink, const char *name));

/* The state that commands share. */
struct monitor {
    struct vm *vm;
    bool starting; /* the script runs, and the guest has not begun */
    bool called;   /* somebody has typed Ctrl-] */
    bool paused;   /* the guest does not run */
    bool open;     /* the console is the monitor's */
    bool hot;      /* every exit is looked at: see counts.c */
    bool breaks;   /* there are breakpoints */
    bool over;     /* the breakpoint at EIP was reported: go on over it */
    gva_t over_at; /* its address */
};
extern struct monitor monitor;

void monitor_pause(void);
/* The guest's clocks stand still from monitor_freeze() to monitor_thaw(), which returns whether
 * they did. A command that lets the guest do something, or that notes the time, thaws before and
 * freezes again what was frozen. */
bool monitor_thaw(struct vm *vm);
void monitor_freeze(void);
/* A breakpoint was hit: tell, and pause or not. */
void monitor_stopped_at(unsigned number, gva_t gva, const char *place, uint32_t hits);
/* vm->breakpoint_hit() */
void monitor_breakpoint(struct vcpu *vcpu);
void record_hit(unsigned number, gva_t gva, uint32_t hits, bool paused);
void monitor_continue(void);

/* Tell the mode what must exit now: after a change of hot or breaks. */
void monitor_watch(struct vm *vm);

/* Where in the guest's kernel: "name+0x1a", or "". size: of to. */
const char *place_of(const struct vm *vm, gva_t gva, char *to, unsigned size);

/* An address that a person wrote: hexadecimal, a symbol of the guest's kernel, a register (eip,
 * esp,
 * ...), each perhaps with +OFFSET or -OFFSET. False: it is none, and the sink was told why. */
bool parse_address(struct vm *vm, struct sink *sink, const char *text, gva_t *gva);

/* Linear address of the guest's EIP. */
static inline gva_t pc_of(const struct vcpu *vcpu)
{
    return vcpu->seg[SREG_CS].base + vcpu->eip;
}

/* --- breaks.c --- */

/* Take the breakpoint at the vCPU's EIP out of memory for one step. Returns its number, 0: there is
 * none. breaks_replant() puts it back. */
unsigned breaks_lift_here(struct vcpu *vcpu);
void breaks_replant(struct vm *vm, unsigned number);
/* Is there one at EIP? Its number, 0: no. */
unsigned break_here(struct vcpu *vcpu);
/* It was hit: count, tell, and pause unless it is one of "go". */
void breaks_note(struct vm *vm, unsigned number);
/* Does a breakpoint that pauses stand before the next instruction? It is counted and told then. */
bool breaks_stop(struct vm *vm);

/* --- step.c --- */

/* Execute one instruction of the guest, or deliver one event that waits. NULL, or why that is not
 * possible. */
const char *step_once(struct vm *vm);

/* --- counts.c --- */

/* Run the guest exit by exit, and count them, until vm->stopped. */
void hot_run(struct vm *vm);

/* --- the commands --- */

#define COMMAND(name) bool name(struct vm *vm, struct sink *sink, int argc, char **argv)
COMMAND(command_help);
COMMAND(command_regs);
COMMAND(command_segments);
COMMAND(command_exits);
COMMAND(command_hot);
COMMAND(command_stats);
COMMAND(command_patches);
COMMAND(command_scan);
COMMAND(command_nested);
COMMAND(command_walk);
COMMAND(command_x);
COMMAND(command_stack);
COMMAND(command_devices);
COMMAND(command_pause);
COMMAND(command_continue);
COMMAND(command_step);
COMMAND(command_break);
COMMAND(command_breaks);
COMMAND(command_delete);
COMMAND(command_inject);
COMMAND(command_mode);
COMMAND(command_snapshot);
COMMAND(command_trace);
COMMAND(command_quit);
#undef COMMAND

#endif
