/* Events on their way into the guest, as VT-x words them (SDM vol. 3C section 24.8.3). Pure. */
#include "vmx.h"
#include "x86.h"

static enum info_type type_of(const struct event *event)
{
    switch (event->kind) {
    case EVENT_IRQ:
        return INFO_EXTERNAL;
    case EVENT_NMI:
        return INFO_NMI;
    case EVENT_SOFT_INT:
        return event->vector == VEC_BP || event->vector == VEC_OF ? INFO_SOFT_EXCEPTION
                                                                  : INFO_SOFT_INT;
    default:
        return INFO_EXCEPTION;
    }
}

uint32_t vmx_event_info(const struct event *event, bool protected_mode)
{
    return INFO_VALID | (uint32_t)type_of(event) << INFO_TYPE_SHIFT | event->vector |
           (event->has_error && protected_mode ? INFO_HAS_ERROR : 0);
}

/* INT3 and INTO are one byte, INT n is two; prefixes in front of them do nothing and are rare: a
 * fault of their delivery would then be reported too late by their number. */
uint32_t vmx_event_length(const struct event *event)
{
    if (event->kind != EVENT_SOFT_INT)
        return 0;
    return type_of(event) == INFO_SOFT_EXCEPTION ? 1 : 2;
}

struct event vmx_event_decode(uint32_t info, uint32_t error)
{
    static const enum event_kind kinds[8] = {
        [INFO_EXTERNAL] = EVENT_IRQ,        [INFO_NMI] = EVENT_NMI,
        [INFO_EXCEPTION] = EVENT_EXCEPTION, [INFO_PRIVILEGED_SOFT] = EVENT_EXCEPTION,
        [INFO_SOFT_INT] = EVENT_SOFT_INT,   [INFO_SOFT_EXCEPTION] = EVENT_SOFT_INT,
    };
    struct event event = {.kind = EVENT_NONE};
    if (!(info & INFO_VALID))
        return event;
    event.kind = kinds[INFO_TYPE(info)];
    event.vector = info & INFO_VECTOR;
    event.has_error = info & INFO_HAS_ERROR;
    event.error = event.has_error ? error : 0;
    return event;
}

/* Section 26.3.1.5: not both at once, and blocking by STI needs IF. */
uint32_t vmx_interruptibility(uint8_t shadow, uint32_t eflags)
{
    if (shadow & SHADOW_MOV_SS)
        return BLOCKING_MOV_SS;
    return (shadow & SHADOW_STI) && (eflags & FL_IF) ? BLOCKING_STI : 0;
}
