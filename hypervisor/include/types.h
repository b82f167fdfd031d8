/*
 * The few types that everything else is written in.
 *
 * The kind of an address is always in its type or its name:
 *   gva  guest virtual (linear) address: what a guest instruction names after segmentation
 *   gpa  guest physical address: what the guest's page tables produce
 *   hpa  host physical address: what the machine's memory bus sees
 * The VMM reaches host memory through pointers into its direct map (see layout.h).
 */
#ifndef TRIVISOR_TYPES_H
#define TRIVISOR_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint32_t gva_t;
typedef uint32_t gpa_t;
typedef uint32_t hpa_t;

/* Arguments in EAX, EDX and ECX, for functions on the shortest ways. */
#ifdef __i386__
#define IN_REGISTERS __attribute__((regparm(3)))
#else
#define IN_REGISTERS
#endif

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096u
#define PAGE_MASK 0xFFFFF000u

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
