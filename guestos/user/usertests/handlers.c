/* Exceptions that go to the program's own handler, and RESUME. */
#include "usertests.h"

static struct fault seen;
static volatile uint32_t faults;

static void skip_two(struct fault *fault)
{
    seen = *fault;
    faults++;
    fault->eip += 2;
}

static void handler_skips(void)
{
    CHECK(on_fault(skip_two) == 0);
    __asm__ volatile("ud2" : : : "memory");
    CHECK(faults == 1 && seen.vector == UD && seen.error == 0 && seen.address == 0);
    __asm__ volatile("int $0x20" : : : "memory");
    CHECK(faults == 2 && seen.vector == GP && seen.error == 0x20 * 8 + 2);
}

/* Every register arrives in the handler, and is afterwards what the handler has made of it. */
static void double_registers(struct fault *fault)
{
    seen = *fault;
    fault->eax *= 2;
    fault->ebx *= 2;
    fault->ecx *= 2;
    fault->edx *= 2;
    fault->esi *= 2;
    fault->edi *= 2;
    fault->eip += 2;
}

static void handler_registers(void)
{
    uint32_t a = 1, b = 2, c = 3, d = 4, s = 5, t = 6;
    CHECK(on_fault(double_registers) == 0);
    __asm__ volatile("ud2" : "+a"(a), "+b"(b), "+c"(c), "+d"(d), "+S"(s), "+D"(t) : : "memory");
    CHECK(seen.eax == 1 && seen.ebx == 2 && seen.ecx == 3 && seen.edx == 4 && seen.esi == 5 &&
          seen.edi == 6);
    CHECK(a == 2 && b == 4 && c == 6 && d == 8 && s == 10 && t == 12);
    CHECK(seen.esp > 0xBFFE0000u && seen.esp < STACK_TOP);
}

static uint32_t good_place;

static void correct_pointer(struct fault *fault)
{
    seen = *fault;
    faults++;
    fault->ecx = (uint32_t)&good_place;
}

/* The instruction is tried again. Error code: bit 0 present, bit 1 write, bit 2 user. */
static void handler_corrects(void)
{
    uint32_t value;
    good_place = 77;
    CHECK(on_fault(correct_pointer) == 0);
    __asm__ volatile("mov (%%ecx), %0" : "=a"(value) : "c"(UNMAPPED) : "memory");
    CHECK(value == 77 && faults == 1);
    CHECK(seen.vector == PF && seen.address == UNMAPPED && seen.error == 4);
    __asm__ volatile("mov %0, (%%ecx)" : : "a"(78), "c"(TEXT_ADDRESS + 8) : "memory");
    CHECK(good_place == 78 && faults == 2);
    CHECK(seen.vector == PF && seen.address == TEXT_ADDRESS + 8 && seen.error == 7);
    __asm__ volatile("mov %0, (%%ecx)" : : "a"(79), "c"(KERNEL_ADDRESS) : "memory");
    CHECK(good_place == 79 && seen.address == KERNEL_ADDRESS && (seen.error & 6) == 6);
}

static void correct_divisor(struct fault *fault)
{
    seen = *fault;
    fault->ecx = 3;
}

static void handler_divides(void)
{
    uint32_t q = 12, rest = 0;
    CHECK(on_fault(correct_divisor) == 0);
    __asm__ volatile("div %%ecx" : "+a"(q), "+d"(rest) : "c"(0) : "cc");
    CHECK(seen.vector == DE && q == 4);
}

static void only_look(struct fault *fault)
{
    seen = *fault;
    faults++;
}

/* Behind INT3 and INTO the program goes on by itself. */
static void handler_traps(void)
{
    CHECK(on_fault(only_look) == 0);
    __asm__ volatile("int3" : : : "memory");
    CHECK(faults == 1 && seen.vector == BP);
    __asm__ volatile("mov $0x7FFFFFFF, %%eax\n\tinc %%eax\n\tinto" : : : "eax", "cc", "memory");
    CHECK(faults == 2 && seen.vector == OF);
}

/* Single steps: the handler runs without TF, and what it returns to has it again. */
static void handler_steps(void)
{
    CHECK(on_fault(only_look) == 0);
    __asm__ volatile("pushf\n\torl $0x100, (%%esp)\n\tpopf\n\t"
                     "nop\n\tnop\n\tnop\n\t"
                     "pushf\n\tandl $~0x100, (%%esp)\n\tpopf\n\tnop"
                     :
                     :
                     : "cc", "memory");
    CHECK(faults >= 5 && faults <= 7 && seen.vector == DB);
    const uint32_t n = faults;
    yield();
    CHECK(faults == n);
}

/* A system call in single steps: the kernel itself must not be stepped. */
static void step_system_call(void)
{
    uint32_t pid;
    CHECK(on_fault(only_look) == 0);
    __asm__ volatile("pushf\n\torl $0x100, (%%esp)\n\tpopf\n\t"
                     "int $0x80\n\tnop\n\t"
                     "pushf\n\tandl $~0x100, (%%esp)\n\tpopf\n\tnop"
                     : "=a"(pid)
                     : "a"(SYS_GETPID)
                     : "cc", "memory");
    CHECK((int)pid == getpid());
    CHECK(faults >= 3 && faults <= 6);
}

static void handler_often(void)
{
    CHECK(on_fault(skip_two) == 0);
    for (int i = 0; i < 1000; i++)
        __asm__ volatile("ud2" : : : "memory");
    CHECK(faults == 1000);
}

static void fault_again(struct fault *fault)
{
    (void)fault;
    __asm__ volatile("int3" : : : "memory");
}

static void fault_in_handler(void)
{
    on_fault(fault_again);
    __asm__ volatile("ud2" : : : "memory");
}

static void handler_at(uint32_t place)
{
    CHECK(system_call(SYS_ONFAULT, place, 0, 0) == 0);
    __asm__ volatile("ud2" : : : "memory");
}

static void handler_nowhere(void)
{
    handler_at(0x1000);
}

static void handler_behind_heap(void)
{
    handler_at(UNMAPPED);
}

static void leave(struct fault *fault)
{
    (void)fault;
    exit(99);
}

static void handler_without_stack(void)
{
    on_fault(leave);
    __asm__ volatile("mov $0xC0100000, %esp\n\tud2");
}

static void handler_at_stack_end(void)
{
    on_fault(leave);
    __asm__ volatile("mov $0xBFFEF010, %esp\n\tud2");
}

static void handler_stack_zero(void)
{
    on_fault(leave);
    __asm__ volatile("xor %esp, %esp\n\tud2");
}

/* No room for the handler, or a handler that is none: the process dies, the kernel does not. */
static void bad_handlers(void)
{
    CHECK(death(fault_in_handler) == STATUS_FAULT + BP);
    CHECK(death(handler_nowhere) == STATUS_FAULT + PF);
    CHECK(death(handler_behind_heap) == STATUS_FAULT + PF);
    CHECK(death(handler_without_stack) == STATUS_FAULT + UD);
    CHECK(death(handler_at_stack_end) == STATUS_FAULT + UD);
    CHECK(death(handler_stack_zero) == STATUS_FAULT + UD);
    CHECK(system_call(SYS_ONFAULT, KERNEL_ADDRESS, 0, 0) == E_FAULT);
    CHECK(system_call(SYS_ONFAULT, 0xFFFFFFFF, 0, 0) == E_FAULT);
}

static void without_handler(void)
{
    on_fault(skip_two);
    __asm__ volatile("ud2" : : : "memory");
    on_fault(NULL);
    __asm__ volatile("ud2" : : : "memory");
}

static void handler_removed(void)
{
    CHECK(death(without_handler) == STATUS_FAULT + UD);
}

static void faulting_child(int unused)
{
    (void)unused;
    __asm__ volatile("ud2" : : : "memory");
    CHECK(faults == 1);
}

static void handler_inherited(void)
{
    CHECK(on_fault(skip_two) == 0);
    CHECK(run(faulting_child, 0) == 0);
    CHECK(faults == 0);
}

static volatile int forked;

static void fork_there(struct fault *fault)
{
    forked = fork();
    fault->eip += 2;
}

/* Parent and child both come back out of the handler. */
static void fork_in_handler(void)
{
    CHECK(on_fault(fork_there) == 0);
    __asm__ volatile("ud2" : : : "memory");
    CHECK(forked >= 0);
    if (!forked)
        exit(4);
    CHECK(status_of(forked) == 4);
}

static void raise_direction(struct fault *fault)
{
    uint32_t flags;
    __asm__ volatile("pushf\n\tpop %0" : "=r"(flags));
    seen = *fault;
    good_place = flags;
    fault->eip += 2;
}

/* Compiled code relies on DF being clear, so the handler must find it so. */
static void handler_direction(void)
{
    uint32_t flags;
    CHECK(on_fault(raise_direction) == 0);
    __asm__ volatile("std\n\tud2\n\tpushf\n\tpop %0\n\tcld" : "=r"(flags) : : "cc", "memory");
    CHECK(seen.eflags & 0x400);
    CHECK(!(good_place & 0x400));
    CHECK(flags & 0x400);
}

static void resume_outside(void)
{
    struct fault f;
    memset(&f, 0, sizeof(f));
    CHECK(system_call(SYS_RESUME, (uint32_t)&f, 0, 0) == E_INVAL);
    CHECK(system_call(SYS_RESUME, 0, 0, 0) == E_INVAL);
    CHECK(on_fault(skip_two) == 0);
    CHECK(system_call(SYS_RESUME, (uint32_t)&f, 0, 0) == E_INVAL);
}

static volatile bool all_refused;

static void resume_badly(struct fault *fault)
{
    static const uint32_t bad[] = {0,          UNMAPPED,  KERNEL_ADDRESS, 0xFFFFFFFF,
                                   0xFFFFFFF0, STACK_TOP, STACK_TOP - 4};
    all_refused = true;
    for (unsigned i = 0; i < ARRAY(bad); i++)
        all_refused &= system_call(SYS_RESUME, bad[i], 0, 0) == E_FAULT;
    fault->eip += 2;
}

/* A resume that fails returns into the handler. */
static void resume_pointers(void)
{
    CHECK(on_fault(resume_badly) == 0);
    __asm__ volatile("ud2" : : : "memory");
    CHECK(all_refused);
}

static struct fault wanted;

static void resume_wanted(struct fault *fault)
{
    on_fault(NULL);
    if (wanted.eip)
        fault->eip = wanted.eip;
    else
        fault->eip += 2;
    if (wanted.esp)
        fault->esp = wanted.esp;
    if (wanted.eflags)
        fault->eflags = wanted.eflags;
}

/* on_fault(NULL) has forgotten the handler, so the way back is made by hand. */
static void resume_by_hand(struct fault *fault)
{
    resume_wanted(fault);
    system_call(SYS_RESUME, (uint32_t)fault, 0, 0);
}

static void go(void)
{
    on_fault(resume_by_hand);
    __asm__ volatile("ud2\n\tpush %eax\n\tpop %eax");
}

static void resume_hostile(void)
{
    static const uint32_t places[] = {0x1000, UNMAPPED, KERNEL_ADDRESS, 0xFFFFFFFF, STACK_TOP};
    static const uint32_t stacks[] = {4, 0x1000, UNMAPPED, KERNEL_ADDRESS, 0xFFFFFFF0};
    for (unsigned i = 0; i < ARRAY(places); i++) {
        wanted = (struct fault){.eip = places[i]};
        CHECK(death(go) == STATUS_FAULT + PF);
        wanted = (struct fault){.esp = stacks[i]};
        CHECK(death(go) == STATUS_FAULT + PF);
    }
    wanted = (struct fault){.eip = 0};
    CHECK(death(go) == 0);
}

static void all_flags(struct fault *fault)
{
    fault->eip += 2;
    fault->eflags = 0xFFFFFEFFu; /* all but TF */
}

static void no_flags(struct fault *fault)
{
    fault->eip += 2;
    fault->eflags = 0;
}

/* IF stays set; IOPL, NT, VM and all that is the kernel's stay clear. */
static void resume_flags(void)
{
    uint32_t flags;
    CHECK(on_fault(all_flags) == 0);
    __asm__ volatile("ud2\n\tpushf\n\tpop %0\n\tcld" : "=r"(flags) : : "cc", "memory");
    CHECK((flags & 0xCD5) == 0xCD5);
    CHECK((flags & 0xFFFFF300u) == 0x200);
    CHECK(on_fault(no_flags) == 0);
    __asm__ volatile("ud2\n\tpushf\n\tpop %0\n\tcld" : "=r"(flags) : : "cc", "memory");
    CHECK((flags & 0xFFFFFFD5u) == 0x200);
}

const struct test handler_tests[] = {
    {"handler-skips", handler_skips, false},
    {"handler-registers", handler_registers, false},
    {"handler-corrects", handler_corrects, false},
    {"handler-divides", handler_divides, false},
    {"handler-traps", handler_traps, false},
    {"handler-steps", handler_steps, false},
    {"step-system-call", step_system_call, false},
    {"handler-often", handler_often, false},
    {"handler-direction", handler_direction, false},
    {"handler-removed", handler_removed, false},
    {"handler-inherited", handler_inherited, false},
    {"fork-in-handler", fork_in_handler, false},
    {"bad-handlers", bad_handlers, false},
    {NULL, NULL, false},
};

const struct test resume_tests[] = {
    {"resume-outside", resume_outside, false},
    {"resume-pointers", resume_pointers, false},
    {"resume-hostile", resume_hostile, false},
    {"resume-flags", resume_flags, false},
    {NULL, NULL, false},
};
