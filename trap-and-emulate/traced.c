/* Traces of software modes: on and off. See traced.h for the idea. */
#include "traced.h"

#include <string.h>

#include "engine.h"

_Static_assert(offsetof(struct sw, user) == sizeof(struct sw_frame), "traced.asm: F_USER");
_Static_assert(sizeof(struct sw_frame) == 556, "traced.asm: F_USER");
_Static_assert(offsetof(struct vcpu, cr3) == 192, "traced.asm: V_CR3");
_Static_assert(EXIT_IO == 1 && EXIT_CR == 4 && EXIT_HYPERCALL == 10 && EXIT_FLAGS == 12 &&
                   EXIT_IRET == 15 && EXIT_SOFT_INT == 16 && EXIT_EXCEPTION == 17 &&
                   EXIT_SHADOW_FILL == 18,
               "traced.asm: EXIT_");
_Static_assert((int)FAST_KERNEL == TRACE_KERNEL && (int)FAST_USER == TRACE_PROGRAM,
               "traced.asm: the level of the short ways goes into the record");

#define JUMP_LEN 5
#define JUMP_OPCODE 0xE9

/* resume.inc makes them. */
struct place {
    uint8_t *code;
    uint32_t target;
};
extern const struct place _trace_places[], _trace_places_end[];
#define PLACES_MAX 64

/* traced.asm */
extern const uint32_t traced_gates[256];
void sw_enter_traced(struct vcpu *vcpu, struct sw_frame *frame);

static uint8_t plain[PLACES_MAX][JUMP_LEN];

static void write_jump(const struct place *place)
{
    const uint32_t offset = place->target - ((uint32_t)place->code + JUMP_LEN);
    place->code[0] = JUMP_OPCODE;
    memcpy(place->code + 1, &offset, sizeof(offset));
}

/* The guest is entered by IRET before any of it runs: that serializes (SDM vol. 3A section 8.3). */
static void patch(bool on)
{
    const unsigned count = (unsigned)(_trace_places_end - _trace_places);
    ASSERT(count <= PLACES_MAX);
    for (unsigned i = 0; i < count; i++) {
        if (on) {
            memcpy(plain[i], _trace_places[i].code, JUMP_LEN);
            write_jump(&_trace_places[i]);
        } else {
            memcpy(_trace_places[i].code, plain[i], JUMP_LEN);
        }
    }
}

void sw_trace(struct vcpu *vcpu, bool on)
{
    sw_of(vcpu)->enter = on ? sw_enter_traced : sw_enter;
    sw_lean_trace(on);
    patch(on);
    host_gates_wrap(on ? traced_gates : NULL);
}
