/*
 * A trace as it leaves the VMM: the host's tools read it by the same header.
 *
 * A record is one exit, or a slice of time that the VMM spent on something of its own. Times are
 * values of the host's TSC. The VMM sends blocks: a header, then whole records. Slices of idling
 * lie inside the exit that follows them; slices of sending lie between two records.
 */
#ifndef TRIVISOR_TRACE_FORMAT_H
#define TRIVISOR_TRACE_FORMAT_H

#include "types.h"

struct trace_record {
    uint64_t start, end; /* the exit, and the next entry */
    uint32_t eip;        /* of the guest: of the instruction that the exit is about */
    uint32_t word;       /* TRACE_ bits */
};

/* trace.inc says the same to the assembler. */
#define TRACE_LEVEL 0x003u   /* what ran: enum trace_level */
#define TRACE_STAMPED 0x004u /* start, eip, level and space are there */
#define TRACE_KNOWN 0x008u   /* so is the reason */
#define TRACE_REASON 0x3F0u  /* enum exit_reason, or enum trace_slice */
#define TRACE_REASON_SHIFT 4
#define TRACE_SHORT 0x400u      /* a short way has finished it, without the vCPU loop */
#define TRACE_SPACE 0xFFFFF000u /* the address of the guest's page directory: CR3 */

enum trace_level { TRACE_UNKNOWN, TRACE_KERNEL, TRACE_PROGRAM };

/* Slices in place of a reason. */
enum trace_slice {
    TRACE_IDLE = 62,  /* the guest halted, and there was nothing to do */
    TRACE_DRAIN = 63, /* records were sent */
};

#define TRACE_SHORT_BITS(reason)                                                                   \
    (TRACE_KNOWN | TRACE_SHORT | (uint32_t)(reason) << TRACE_REASON_SHIFT)

#define TRACE_MAGIC "TVtrace\001"

struct trace_block {
    char magic[8];
    uint32_t number; /* from 0 */
    uint32_t bytes;  /* of records that follow */
};

#endif
