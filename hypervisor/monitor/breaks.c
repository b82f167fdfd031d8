/*
 * Breakpoints: INT3 in the guest's memory.
 *
 * One is kept by guest physical address, with the byte that was there: every mapping of the page
 * has it. A guest that reads its code sees it, and one that writes there or loads another page over
 * it has lost it, which `breaks` tells. The emulator asks vm->breakpoint() at each INT3.
 */
#include <string.h>

#include "gmem.h"
#include "monitor.h"
#include "multiboot.h"
#include "vmm.h"
#include "words.h"
#include "x86.h"

#define BREAKS_MAX 16u
#define INT3 0xCC

static struct break_point {
    bool used, planted;
    bool lost; /* the guest has written over it: not to be planted again */
    bool go;   /* only count and tell */
    gva_t gva; /* as it was given */
    gpa_t gpa;
    uint8_t byte;
    uint32_t hits;
} points[BREAKS_MAX];

static void write_byte(struct vm *vm, gpa_t gpa, uint8_t byte)
{
    uint8_t *p = guest_ram(vm, gpa, 1);
    *p = byte;
    if (vm->page_watch && vm->page_watch[gpa >> PAGE_SHIFT])
        vm->page_written(vm, gpa & PAGE_MASK);
}

static void plant(struct vm *vm, struct break_point *b)
{
    const uint8_t *p = guest_ram(vm, b->gpa, 1);
    b->byte = *p;
    b->planted = true;
    b->lost = false;
    write_byte(vm, b->gpa, INT3);
}

static bool is_there(const struct vm *vm, const struct break_point *b)
{
    const uint8_t *p = guest_ram(vm, b->gpa, 1);
    return b->planted && *p == INT3;
}

/* What the guest has written over it stays. */
static void lift(struct vm *vm, struct break_point *b)
{
    if (is_there(vm, b))
        write_byte(vm, b->gpa, b->byte);
    b->planted = false;
}

static bool gpa_of(struct vcpu *vcpu, gva_t gva, gpa_t *gpa)
{
    struct walk walk;
    uint32_t error;
    if (!guest_walk(vcpu, gva, ACCESS_FETCH | ACCESS_PEEK, &walk, &error) ||
        !guest_ram(vcpu->vm, walk.gpa, 1))
        return false;
    *gpa = walk.gpa;
    return true;
}

/* Before the kernel has switched paging on, its own addresses mean what its ELF file says. */
static bool kernel_gpa(struct vm *vm, gva_t gva, gpa_t *gpa)
{
    return !(vm->vcpu.cr0 & CR0_PG) && elf_gva_to_gpa(vm->image, vm->image_size, gva, gpa) &&
           guest_ram(vm, *gpa, 1);
}

static struct break_point *at_gpa(gpa_t gpa)
{
    for (unsigned i = 0; i < BREAKS_MAX; i++) {
        if (points[i].used && points[i].gpa == gpa)
            return &points[i];
    }
    return NULL;
}

unsigned break_here(struct vcpu *vcpu)
{
    gpa_t gpa;
    if (!gpa_of(vcpu, pc_of(vcpu), &gpa))
        return 0;
    const struct break_point *b = at_gpa(gpa);
    return b && b->planted ? (unsigned)(b - points) + 1 : 0;
}

static bool is_breakpoint(struct vcpu *vcpu)
{
    return break_here(vcpu);
}

unsigned breaks_lift_here(struct vcpu *vcpu)
{
    const unsigned number = break_here(vcpu);
    if (!number || !is_there(vcpu->vm, &points[number - 1]))
        return 0;
    lift(vcpu->vm, &points[number - 1]);
    return number;
}

void breaks_replant(struct vm *vm, unsigned number)
{
    if (points[number - 1].used)
        plant(vm, &points[number - 1]);
}

void breaks_note(struct vm *vm, unsigned number)
{
    struct break_point *b = &points[number - 1];
    char place[80];
    b->hits++;
    if (!b->go)
        monitor_stopped_at(number, b->gva, place_of(vm, b->gva, place, sizeof(place)), b->hits);
}

bool breaks_stop(struct vm *vm)
{
    const unsigned number = break_here(&vm->vcpu);
    if (!number || points[number - 1].go || !is_there(vm, &points[number - 1]))
        return false;
    breaks_note(vm, number);
    monitor.over = true;
    monitor.over_at = points[number - 1].gva;
    return true;
}

void monitor_finish(void)
{
    for (unsigned i = 0; i < BREAKS_MAX; i++) {
        if (points[i].used)
            record_hit(i + 1, points[i].gva, points[i].hits, false);
    }
}

/* vm->breakpoint() must be gone when none is left, or a stale one would be asked for ever. */
static void update(struct vm *vm)
{
    monitor.breaks = false;
    for (unsigned i = 0; i < BREAKS_MAX; i++)
        monitor.breaks |= points[i].used;
    vm->breakpoint = monitor.breaks ? is_breakpoint : NULL;
    vm->breakpoint_hit = monitor_breakpoint;
    monitor_watch(vm);
}

void monitor_leave_mode(struct vm *vm)
{
    for (unsigned i = 0; i < BREAKS_MAX; i++) {
        struct break_point *b = &points[i];
        b->lost |= b->planted && !is_there(vm, b);
        if (b->used)
            lift(vm, b);
    }
}

/* One that the mode has no place for waits for another mode. */
static bool splits(struct vm *vm, gva_t gva)
{
    const struct vmm_mode *mode = vm->vcpu.mode;
    return mode->splits && mode->splits(&vm->vcpu, gva);
}

void monitor_enter_mode(struct vm *vm)
{
    for (unsigned i = 0; i < BREAKS_MAX; i++) {
        if (points[i].used && !points[i].lost && !splits(vm, points[i].gva))
            plant(vm, &points[i]);
    }
    update(vm);
}

static struct break_point *free_point(void)
{
    for (unsigned i = 0; i < BREAKS_MAX; i++) {
        if (!points[i].used)
            return &points[i];
    }
    return NULL;
}

bool command_break(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    struct break_point *b = free_point();
    char place[80];
    gva_t gva;
    gpa_t gpa;
    if (argc > 2 && strcmp(argv[2], "go")) {
        say(sink, "'%s': what may follow the address is 'go'", argv[2]);
        return false;
    }
    if (!parse_address(vm, sink, argv[1], &gva))
        return false;
    if (!gpa_of(&vm->vcpu, gva, &gpa) && !kernel_gpa(vm, gva, &gpa)) {
        say(sink, "the guest has no memory at %08x now", gva);
        return false;
    }
    if (splits(vm, gva)) {
        say(sink, "%08x is inside of a patched site; 'patches' lists where they begin", gva);
        return false;
    }
    if (at_gpa(gpa)) {
        say(sink, "breakpoint %u is there already", (unsigned)(at_gpa(gpa) - points) + 1);
        return false;
    }
    if (!b) {
        say(sink, "all %u breakpoints are in use; 'delete' makes room", BREAKS_MAX);
        return false;
    }
    *b = (struct break_point){.used = true, .gva = gva, .gpa = gpa, .go = argc > 2};
    plant(vm, b);
    update(vm);
    const unsigned number = (unsigned)(b - points) + 1;
    say(sink, "breakpoint %u at %08x %s", number, gva, place_of(vm, gva, place, sizeof(place)));
    say_data(sink, "\"number\":%u,\"address\":%u", number, gva);
    return true;
}

bool command_breaks(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    char place[80];
    (void)argc;
    (void)argv;
    for (unsigned i = 0; i < BREAKS_MAX; i++) {
        const struct break_point *b = &points[i];
        if (!b->used)
            continue;
        say(sink, "%u  %08x  guest physical %08x  byte %02x  %u hits%s%s  %s", i + 1, b->gva,
            b->gpa, b->byte, b->hits, b->go ? ", go" : "",
            is_there(vm, b)         ? ""
            : b->planted || b->lost ? ", overwritten by the guest"
                                    : ", not in this mode: inside of a patched site",
            place_of(vm, b->gva, place, sizeof(place)));
        say_data(sink, "\"number\":%u,\"address\":%u,\"hits\":%u", i + 1, b->gva, b->hits);
    }
    if (!monitor.breaks)
        say(sink, "there are no breakpoints");
    return true;
}

bool command_delete(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    const bool all = !strcmp(argv[1], "all");
    uint32_t number = 0;
    (void)argc;
    if (!all && (!word_number(argv[1], &number) || !number || number > BREAKS_MAX ||
                 !points[number - 1].used)) {
        say(sink, "there is no breakpoint '%s'; 'breaks' lists them", argv[1]);
        return false;
    }
    for (unsigned i = 0; i < BREAKS_MAX; i++) {
        if (!points[i].used || (!all && i + 1 != number))
            continue;
        lift(vm, &points[i]);
        points[i].used = false;
    }
    update(vm);
    return true;
}
