/* What a trap at CPL 3 means for the guest. */
#include <string.h>

#include "cpu.h"
#include "engine.h"
#include "gmem.h"

static void exit_exception(struct exit *exit, uint8_t vector, bool has_error, uint32_t error)
{
    exit->reason = EXIT_EXCEPTION;
    exit->exception.event = (struct event){
        .kind = EVENT_EXCEPTION, .vector = vector, .has_error = has_error, .error = error};
}

static void exit_page_fault(struct exit *exit, uint32_t error, gva_t gva)
{
    exit_exception(exit, VEC_PF, true, error);
    exit->exception.event.cr2 = gva;
}

/* Under which reason an instruction that the emulator completed is counted. */
static enum exit_reason reason_of(enum insn_op op)
{
    switch (op) {
    case OP_CLI:
    case OP_STI:
    case OP_PUSHF:
    case OP_POPF:
        return EXIT_FLAGS;
    case OP_IRET:
        return EXIT_IRET;
    case OP_INT3:
    case OP_INTN:
    case OP_INTO:
    case OP_INT1:
        return EXIT_SOFT_INT;
    case OP_LGDT:
    case OP_SGDT:
    case OP_LIDT:
    case OP_SIDT:
    case OP_LLDT:
    case OP_SLDT:
    case OP_LTR:
    case OP_STR:
    case OP_SMSW:
    case OP_LAR:
    case OP_LSL:
    case OP_VERR:
    case OP_VERW:
        return EXIT_DESCRIPTOR;
    default:
        return EXIT_SEGMENT;
    }
}

/* Is pc the begin of a scanned instruction of n bytes on one page? */
static bool is_site(struct sw *sw, gva_t pc, unsigned n)
{
    const struct code_page *page = window_lookup(sw, pc);
    return page && code_page_is_start(page, pc) && (pc & (PAGE_SIZE - 1)) + n <= PAGE_SIZE;
}

/* The decoded instruction at EIP; from the cache when it is scanned kernel code. */
static const struct insn *fetch(struct sw *sw, struct insn *buf, struct exit *exit)
{
    const gva_t pc = sw_pc(sw->vcpu);
    if (!sw->policy->window || sw->user)
        return fetch_decode(sw->vcpu, buf, exit) ? buf : NULL;
    const unsigned slot = (pc ^ pc >> 8) % SITE_CACHE;
    if (sw->site[slot].valid && sw->site[slot].gva == pc) {
        if (sw->site[slot].has_short) /* another may have taken its place */
            sw_fast_learn_site(sw, &sw->site[slot].insn, pc);
        return &sw->site[slot].insn;
    }
    if (!fetch_decode(sw->vcpu, buf, exit)) {
        if (exit->exception.event.vector == VEC_UD && is_site(sw, pc, INSN_MAX))
            sw_fast_learn_undefined(sw, pc);
        return NULL;
    }
    if (is_site(sw, pc, buf->len)) {
        if (sw->site[slot].valid)
            sw_fast_forget_site(sw->site[slot].gva);
        sw->site[slot].gva = pc;
        sw->site[slot].valid = true;
        sw->site[slot].insn = *buf;
        sw->site[slot].has_short = sw_fast_learn_site(sw, &sw->site[slot].insn, pc);
    }
    return buf;
}

/* What hardware would raise when there is no code at EIP, the fetch finds out. */
static void no_code(struct sw *sw, struct exit *exit)
{
    struct insn insn;
    if (fetch_decode(sw->vcpu, &insn, exit))
        exit_kill(exit, "the code window cannot hold the code at EIP: it is not RAM, or it crosses "
                        "the end of a 16 MB region, or the VMM's memory is out");
}

static int code_bits(const struct sw *sw)
{
    return sw->vcpu->seg[SREG_CS].attr & SEG_DB ? 32 : 16;
}

/* Is it a trap site only because it reads through CS? */
static bool is_cs_read(const struct sw *sw, const struct insn *insn, const struct event *native)
{
    return sw->policy->window && !sw->user && native->kind == EVENT_SOFT_INT &&
           insn_reads_through_cs(insn);
}

/* Let the one instruction at EIP read through DS, with the guest's CS in it. */
static void step_over_read(struct sw *sw, struct exit *exit)
{
    const gva_t pc = sw_pc(sw->vcpu);
    exit->reason = EXIT_SCAN;
    if (!window_open(sw, pc, code_bits(sw))) {
        no_code(sw, exit);
        return;
    }
    sw->step = STEP_READ;
    sw->reading = true;
    sw->read_site = pc;
    sw->vcpu->dirty |= DIRTY_SEG;
}

void sw_emulate(struct sw *sw, struct exit *exit, const struct event *native)
{
    struct insn buf;
    const struct insn *insn = fetch(sw, &buf, exit);
    if (!insn)
        return;
    const bool single_step = sw->vcpu->eflags & FL_TF;
    const uint32_t dirty = sw->vcpu->dirty;
    switch (emulate(sw->vcpu, insn, exit)) {
    case EMU_DONE:
        exit->reason = reason_of(insn->op);
        if (insn->op == OP_INTN)
            sw_fast_learn_gate(sw, insn->imm & 0xFF, true);
        if (insn->op == OP_LIDT || insn->op == OP_LTR)
            sw_fast_forget_tables();
        if (insn->op == OP_LIDT) /* whose table is only read: DIRTY_TABLE is for the GDT here */
            sw->vcpu->dirty = dirty;
        sw->vcpu->step_due =
            single_step && traps_when_stepped(sw->vcpu, exit->reason == EXIT_SOFT_INT);
        break;
    case EMU_EXIT:
        sw->vcpu->step_due = single_step;
        break;
    case EMU_FAULT:
        break;
    case EMU_UNHANDLED:
        if (is_cs_read(sw, insn, native)) {
            step_over_read(sw, exit);
            return;
        }
        exit->reason = EXIT_EXCEPTION;
        exit->exception.event = *native;
        break;
    }
    if (sw->step && exit->reason != EXIT_EXCEPTION)
        sw_step_end(sw); /* the stepped instruction is done */
}

void sw_page_written(struct vm *vm, gpa_t page)
{
    struct sw *sw = sw_of(&vm->vcpu);
    const uint8_t watch = vm->page_watch[page >> PAGE_SHIFT];
    if (watch & WATCH_CODE)
        window_drop_gpa(sw, page & PAGE_MASK);
    if (watch & WATCH_TABLE)
        sw->gdt_stale = true;
}

void sw_step_end(struct sw *sw)
{
    if (sw->reading) {
        sw->reading = false;
        sw->vcpu->dirty |= DIRTY_SEG;
        scan_close(&sw->window.source, sw->read_site);
    }
    while (sw->open_count) {
        const unsigned i = --sw->open_count;
        shadow_drop_page(&sw->shadow, sw->open[i].gva);
        if (guest_ram(sw->vcpu->vm, sw->open[i].gpa, 1))
            sw_page_written(sw->vcpu->vm, sw->open[i].gpa);
    }
    sw->step = STEP_NONE;
}

/* Let the one instruction at EIP write to the page, then look again. An instruction may come here
 * several times, once a page. */
static void step_over_write(struct sw *sw, struct exit *exit, gva_t gva, gpa_t gpa)
{
    if (sw->open_count == STEP_PAGES) {
        exit_kill(exit, "one instruction writes to more watched pages than any instruction can");
        return;
    }
    sw->step = STEP_WRITE;
    sw->open[sw->open_count].gva = gva & PAGE_MASK;
    sw->open[sw->open_count++].gpa = gpa & PAGE_MASK;
    shadow_open_page(&sw->shadow, sw->user ? SHADOW_USER : SHADOW_KERNEL, gva, gpa);
}

/* Control reached a byte of the window that nothing was copied to. */
static void scan_here(struct sw *sw, struct exit *exit)
{
    exit->reason = EXIT_SCAN;
    if (window_scan(sw, sw_pc(sw->vcpu), code_bits(sw)) != SCAN_OK)
        no_code(sw, exit);
}

/* A fetch fault of the guest kernel: its EIP is outside of what the window shows. */
static void window_fault(struct sw *sw, struct exit *exit, gva_t linear)
{
    const gva_t pc = linear - window_offset(&sw->window);
    exit->reason = EXIT_WINDOW;
    /* A far transfer that was not scanned has loaded a CS of the guest's: move that onto the
     * window, and fetch again. */
    if ((uint16_t)sw->frame.cs != (HOST_SEG(SREG_CS) | SEL_RPL)) {
        sw->vcpu->dirty |= DIRTY_SEG;
        return;
    }
    if (sw->window.current < 0 ||
        (pc & ~(WINDOW_SIZE - 1)) != sw->window.region[sw->window.current].base) {
        if (pc != sw_pc(sw->vcpu)) {
            exit_kill(exit, "an instruction crosses the end of a 16 MB region of the code window");
            return;
        }
        if (!window_show(sw, pc)) {
            exit_kill(exit, "too little memory for the code window");
            return;
        }
        sw->vcpu->dirty |= DIRTY_SEG;
        return;
    }
    scan_here(sw, exit);
}

static void page_fault(struct sw *sw, struct exit *exit)
{
    const gva_t gva = read_cr2();
    const uint32_t error = sw->frame.error;
    uint32_t guest_error = 0;
    gpa_t gpa = 0;
    if (sw->policy->window && !sw->user && (error & PF_I)) {
        window_fault(sw, exit, gva);
        return;
    }
    switch (shadow_fault(&sw->shadow, sw->user ? SHADOW_USER : SHADOW_KERNEL, gva, error,
                         &guest_error, &gpa)) {
    case SHADOW_FILLED:
        exit->reason = EXIT_SHADOW_FILL;
        break;
    case SHADOW_FAULT:
        exit_page_fault(exit, guest_error, gva);
        break;
    case SHADOW_WATCHED:
        exit->reason = EXIT_TRACED_WRITE;
        step_over_write(sw, exit, gva, gpa);
        break;
    case SHADOW_HOLE:
        exit->reason = EXIT_HOLE_WRITE;
        step_over_write(sw, exit, gva, gpa);
        break;
    case SHADOW_RESERVED:
        exit_kill(exit, "the guest uses linear addresses from 0xF0000000 up, which the VMM keeps "
                        "for itself in software modes");
        break;
    }
}

/* INT3 and INTO are traps, reported behind their byte; so are INT 3 and INT 4 of two bytes. EIP is
 * behind the opcode byte, or behind the number. */
static bool two_bytes(struct sw *sw, uint8_t opcode)
{
    struct event ignored;
    uint8_t byte = opcode;
    guest_read(sw->vcpu, sw_pc(sw->vcpu) - 1, &byte, 1, ACCESS_FETCH | ACCESS_PEEK, &ignored);
    return byte != opcode;
}

/* #BP: an unscanned byte, a trap site, or the guest's own INT3. */
static void breakpoint(struct sw *sw, struct exit *exit)
{
    struct vcpu *vcpu = sw->vcpu;
    struct event native = {.kind = EVENT_SOFT_INT, .vector = VEC_BP};
    if (sw->policy->window && !sw->user) {
        const gva_t pc = sw_pc(vcpu) - 1;
        const struct code_page *page = window_lookup(sw, pc);
        const bool filler = !page || page->copy[pc & (PAGE_SIZE - 1)] == TRAP_BYTE;
        vcpu->eip -= filler ? 1 : 2;
        if (filler && (!page || !code_page_is_start(page, pc))) {
            scan_here(sw, exit);
            return;
        }
    } else {
        vcpu->eip -= two_bytes(sw, 0xCC) ? 2 : 1;
    }
    sw_emulate(sw, exit, &native);
}

/* #DB: the step of one instruction, or INT1 (0xF1), which says nothing in DR6 and takes the place
 * of a step. */
static void debug(struct sw *sw, struct exit *exit)
{
    struct vcpu *vcpu = sw->vcpu;
    const bool guest_tf = vcpu->eflags & FL_TF;
    const uint32_t dr6 = read_dr6();
    write_dr6(dr6 & ~DR6_BS); /* which only software clears */
    vcpu->int_shadow = 0;     /* one instruction has passed, even if it jumped to itself */
    exit->reason = EXIT_STEP;
    if (sw->step) {
        if (sw->step == STEP_SHADOW)
            exit->reason = EXIT_IRQ_WINDOW;
        sw_step_end(sw);
        if (!guest_tf && (dr6 & DR6_BS))
            return;
    }
    vcpu->dr[6] |= dr6 & DR6_BS;
    exit_exception(exit, VEC_DB, false, 0);
}

static bool has_error_code(uint8_t vector)
{
    return vector == VEC_DF || (vector >= VEC_TS && vector <= VEC_PF) || vector == VEC_AC;
}

void sw_classify(struct sw *sw, struct exit *exit)
{
    const uint8_t vector = (uint8_t)sw->frame.vector;
    struct event native = {.kind = EVENT_EXCEPTION,
                           .vector = vector,
                           .has_error = has_error_code(vector),
                           .error = sw->frame.error};
    switch (vector) {
    case VEC_PF:
        page_fault(sw, exit);
        return;
    case VEC_GP:
    case VEC_NP:
    case VEC_SS:
        sw_emulate(sw, exit, &native);
        return;
    case VEC_BP:
        breakpoint(sw, exit);
        return;
    case VEC_DB:
        debug(sw, exit);
        return;
    case VEC_NMI:
    case VEC_MC:
        exit->reason = EXIT_NONE; /* the host's, and there is nothing to do about it */
        return;
    }
    if (vector >= HOST_IRQ_BASE && vector < HOST_IRQ_BASE + 16) {
        host_irq_handle(vector);
        exit->reason = EXIT_HOST_IRQ;
    } else if (vector >= 32) {
        /* Only gates with DPL 3 get here: a VMM gate of the para policy. In other hands it is an
         * INT n of the guest, of two bytes. */
        if (sw->policy->gate && !sw->user && sw->policy->gate(sw, vector, exit))
            return;
        sw->vcpu->eip -= 2;
        sw_emulate(sw, exit, &native);
    } else if (vector == VEC_OF) {
        sw->vcpu->eip -= two_bytes(sw, 0xCE) ? 2 : 1;
        sw_emulate(sw, exit, &native);
    } else if (vector == HOST_TRAP_V86) {
        exit_kill(exit, "the guest entered virtual-8086 mode, which software modes do not run");
    } else {
        exit->reason = EXIT_EXCEPTION;
        exit->exception.event = native;
    }
}
