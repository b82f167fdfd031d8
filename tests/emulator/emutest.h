/*
 * The test of the emulator against the CPU: a bare-metal program that makes random states and
 * instructions, lets the VMM's emulator execute them on one image of the guest's memory and the
 * CPU on another, and compares registers, hidden segment state, memory and faults.
 *
 * The CPU executes the case as an SVM guest without nested paging: VMRUN loads the whole state,
 * hidden parts included, and #VMEXIT stores it, so that no table, stack or handler of the guest has
 * to be in order for the end to be seen. No instruction of the case is intercepted but HLT; it is
 * the CPU that executes it, with the guest's own page tables, descriptor tables and TSS.
 *
 * A case ends, for both, at a VMMCALL (code pages are full of them), at a HLT, or at an exception:
 * one half of the cases compares the exception itself, the other half lets it be delivered through
 * the guest's IDT and ends in what the IDT names, or at a double fault. Neither side can keep a
 * case from ending: a timer stops the guest (STOP_RUNAWAY), and the run when it is the emulator.
 *
 * Compared at the end: the general registers, EIP, EFLAGS, all parts of all segment registers, the
 * table registers, control, debug and SYSENTER registers, the interrupt shadow, the ports that the
 * test may use, all memory with page tables and descriptors, and the exception if it was not
 * delivered (vector, error code, CR2).
 *
 * Not asked of the CPU: what guests are not offered and the machine has (task switches,
 * virtual-8086 mode, single steps, breakpoints, DR7.GD, MSRs and bits of CR4 beyond the guest's),
 * the time stamp, what follows a write to device memory, and CR0.PG without CR0.PE, which a guest
 * of SVM may have: there the emulator must give #GP(0) and change nothing.
 *
 * Forgiven, each under a name that is counted and printed: what the manuals leave open, or the way
 * of the test is to blame for (forgive_both.c), and where QEMU or Bochs depart from the manual
 * (forgive_qemu.c, forgive_bochs.c; qemu.c for what QEMU does not check at all, limits above all).
 * After a fault in a transfer, A and D bits and the descriptors' accessed bits that only one of
 * both has set are nobody's, and so is what was pushed of a frame that the fault cut short. RF that
 * IRET loads cannot be seen: both machines lose it before the case ends.
 *
 * The order to read in: state.c and descriptors.c (states), code.c (instructions), arena.c
 * (memory), emulated.c with watch.c and machine.c (the emulator's run), native.c (the CPU's),
 * compare.c, forgive.c with its lists, qemu.c, report.c, main.c.
 */
#ifndef EMULATOR_TEST_H
#define EMULATOR_TEST_H

#include "emulate.h"
#include "vm.h"
#include "x86.h"

/* --- the guest's memory: arena.c --- */

/*
 * Guest physical addresses are those of the machine: the CPU's image is RAM itself. The emulator's
 * image lies EMU_OFFSET above, what both start from BASE_OFFSET above.
 */
#define EMU_OFFSET 0x02000000u
#define BASE_OFFSET 0x03000000u
#define RAM_SIZE 0x00803000u
#define LOW 0x00020000u /* where real mode gets to */
#define LOW_PAGES 16u
#define HOT 0x00400000u /* all else */
#define HOT_PAGES 16u
#define TABLES 0x00800000u
#define TABLE_PAGES 3u
#define HOLE                                                                                       \
    0x00C00000u /* for the emulator no memory; for the CPU, memory that is kept at ones            \
                 */

/* The pages of HOT. */
enum {
    PAGE_CODE,
    PAGE_PADS,
    PAGE_GDT,
    PAGE_IDT,
    PAGE_LDT,
    PAGE_TSS, /* two of them */
    PAGE_DATA = 7,
    PAGE_STACK = 11, /* five of them, the last one shared by two windows */
    PAGE_HOLE = 16,  /* its index in the page table */
};
#define HOT_PAGE(i) (HOT + (i)*PAGE_SIZE)
#define PAGE_DIR_A TABLES
#define PAGE_TABLE (TABLES + PAGE_SIZE)
#define PAGE_DIR_B (TABLES + 2 * PAGE_SIZE)

/* Linear windows, each a page-directory entry. All but LARGE share the page table. */
#define WINDOW_ZERO 0x00000000u
#define WINDOW_SAME 0x00400000u /* linear is physical */
#define WINDOW_LARGE 0x00800000u
#define WINDOW_HALF 0x80000000u
#define WINDOW_TOP 0xFFC00000u

extern struct vm vm;

void arena_init(uint32_t seed);
/* Write n bytes of both images, until arena_restore(). */
void poke(gpa_t gpa, const void *bytes, unsigned n);
/* The same by linear address of the vCPU; bytes without memory are left out. */
void poke_linear(struct vcpu *vcpu, gva_t gva, const void *bytes, unsigned n);
/* The gpa of the first byte that differs, or 0; *emu and *cpu receive the doublewords there. */
gpa_t arena_difference(bool low_too, gpa_t after, uint32_t *emu, uint32_t *cpu);
/* The images differ there, and may: arena_restore() restores the page. */
void arena_mark(gpa_t gpa);
/* Back to the base image. all: also what nobody is known to have written. */
void arena_restore(bool all);
static inline uint8_t *cpu_image(gpa_t gpa)
{
    return (uint8_t *)(uintptr_t)gpa;
}
static inline uint8_t *emu_image(gpa_t gpa)
{
    return (uint8_t *)(uintptr_t)(gpa + EMU_OFFSET);
}

/* --- random numbers: each case has a sequence of its own --- */

void rng_start(uint32_t seed, uint32_t number);
uint32_t rnd(void);
/* 0 .. n-1 */
static inline uint32_t below(uint32_t n)
{
    return (uint32_t)((uint64_t)rnd() * n >> 32);
}
/* True in one of n cases. */
static inline bool one_in(uint32_t n)
{
    return below(n) == 0;
}
#define PICK(array) ((array)[below(ARRAY_LEN(array))])

/* --- a case --- */

enum stop {
    STOP_END, /* the VMMCALL */
    STOP_HLT,
    STOP_FAULT,    /* an exception that is not delivered */
    STOP_DOUBLE,   /* a double fault, which never is */
    STOP_SHUTDOWN, /* a triple fault */
    STOP_REFUSED,  /* CPU only: VMRUN refused the state */
    STOP_TASK,     /* CPU only: a task switch */
    STOP_RUNAWAY,  /* CPU only: no end within some timer ticks */
    STOP_OTHER,    /* CPU only: any other exit */
    /* The emulator only: why the CPU need not be asked. */
    SKIP_NOT_MINE, /* an instruction that the emulator does not know */
    SKIP_STRANGE,  /* control got to where there is no code */
    SKIP_TASK,     /* a task switch or virtual-8086 mode: not modelled, #GP by decision */
    SKIP_UNSAFE,   /* the CPU would leave the arena, or step */
    SKIP_ENDLESS,
    SKIP_LIMIT,       /* code ends at its limit, which QEMU does not check */
    SKIP_INTERRUPTED, /* CPU only: the timer came in between */
    STOP_COUNT
};

#define MAX_STEPS 24
#define CODE_MAX 64

/* A frame below offset top of a stack, which a transfer was about to push; done: it did. */
struct frame {
    uint32_t base, top, mask, bytes;
    bool done;
};

struct result {
    enum stop stop;
    struct event fault; /* STOP_FAULT */
    uint64_t exit_code; /* CPU: of STOP_OTHER */
    struct vcpu state;
    uint32_t ports[2]; /* device registers, which OUT writes */
    /* The emulator's run only. */
    unsigned steps;
    enum insn_op ops[MAX_STEPS]; /* what was executed, the last one perhaps to a fault */
    bool fetch_fault;            /* the last step is none: its fetch failed */
    unsigned delivered;          /* exceptions to deliver: the last ones */
    struct event events[4];
    uint8_t hlt_length;
    uint8_t opcode;  /* SKIP_NOT_MINE */
    bool ignore_tsc; /* EDX:EAX are a time stamp */
    unsigned frames;
    struct frame frame[64];
    bool touch_fault;   /* an accessed bit could not be set, in a transfer */
    bool both_limits;   /* neither had the stack room nor was EIP within its limit */
    bool wrong;         /* not asked of the CPU, and not what the manual says */
    bool wrapped;       /* an operand crosses the end of 4 GB, or of 64 KB with a 16-bit address */
    bool absent_stack;  /* a transfer to a stack that is not present */
    bool room_for_some; /* the stack had room for the first words of a frame, not for all */
    bool stack_wraps;   /* what is popped, or pushed by CALL, wraps at 64 KB of a 16-bit stack */
    bool vector_pushed; /* real mode: a frame was pushed over the vector */
    bool calls_inner;   /* a far CALL changed stacks */
    bool gate_upper;    /* a 16-bit gate has something in the upper half of its offset */
};

struct stack;

struct test_case {
    uint32_t number;
    bool deliver; /* exceptions are delivered */
    bool real;    /* real mode */
    struct vcpu start;
    uint8_t code[CODE_MAX];
    unsigned code_size;
    uint64_t starts;     /* a bit for each byte of the code that begins an instruction */
    enum insn_op ops[3]; /* what was meant */
    unsigned count;
};

/* emulated.c, for qemu.c: what is being executed; a segment check failed (wraps: its operand
 * crosses the end of 4 GB); an accessed bit could not be set. */
bool in_far_transfer(void);
bool in_return(void);
void note_limit(bool wraps);
void note_touch_fault(void);
void note_stack(const struct stack *stack);
void note_pop(const struct stack *stack, uint32_t bytes);

/* qemu.c: after each step (done: it ended without a fault), put back the limit of CS that was
 * hidden; the level of stack accesses. */
void qemu_code_limit(struct vcpu *vcpu, bool done);
unsigned qemu_stack_level(unsigned level);
void qemu_report(void);

/* start.asm: ticks of 10 ms; how many are left to the emulator, 0 when it does not run. */
extern volatile uint32_t timer_ticks, patience;

extern bool is_bochs;
extern const struct vmm_mode emulated_mode;

/* Descriptors and gates of the base image, of which cases replace some. */
void state_make_base(void);
void state_make(struct test_case *test);
void code_make(struct test_case *test);
void emulated_run(const struct test_case *test, struct result *result);
bool native_init(void);
void native_run(const struct test_case *test, struct result *result);
/* The ports of the test: the scratch register of COM2, and page registers of the DMA controller
 * that no channel uses. */
#define PORT_SCRATCH 0x2FFu
#define PORT_PAGES 0x84u
#define PORT_PAGES_COUNT 6u
bool uses_ports(const struct test_case *test);
void ports_set(void);
void ports_get(uint32_t ports[2]);

/* state.c, for operands: a selector; its descriptor's class is random. */
uint16_t random_selector(unsigned cpl);
uint16_t operand_selector(enum insn_op op, unsigned cpl);
uint16_t code_selector(unsigned cpl);
/* A call gate, made anew. */
uint16_t gate_selector(unsigned cpl);
/* A stack of the level, made anew, of any limit and width; perhaps not present. */
uint16_t stack_selector(unsigned level);
/* Code of at most 64 KB, of this level or an outer one. */
uint16_t limited_code_selector(unsigned cpl);
/* An offset in DS of device memory. */
uint32_t random_hole(const struct vcpu *vcpu);
uint32_t random_value(const struct vcpu *vcpu, enum sreg seg);
/* An offset where a VMMCALL stands, for code whose base is 0. */
uint32_t random_pad(bool wide);

/* compare.c: true when all agrees, or what does not is forgiven. */
bool compare(const struct test_case *test, const struct result *emu, const struct result *cpu);
void print_case(const struct test_case *test, const struct result *emu, const struct result *cpu);
const char *stop_name(enum stop stop);

/* forgive.c: is this known of the emulator of the machine? Counts. */
bool forgiven(const struct test_case *test, const struct result *emu, const struct result *cpu,
              const char *what, uint32_t emu_value, uint32_t cpu_value);
void forgive_report(void);

/* report.c */
void report_case(const struct test_case *test, const struct result *emu);
void report_meant(const struct test_case *test);
/* Prints what was compared; returns how many instructions never were. */
unsigned report_print(void);

#endif
