/*
 * Shadow page tables for a guest with 32-bit paging, in PAE format: a virtual TLB that remembers.
 *
 * The shadow holds what a TLB may hold. Entries appear on faults, from the guest's own tables at
 * that moment; INVLPG, CR3 and CR0/CR4 loads drop them as the manual says they drop TLB entries
 * (SDM vol. 3A section 4.10). So the guest's tables need no watching: a guest that forgets to
 * invalidate sees stale translations, as it would on hardware.
 *
 * A CR3 load need not begin with nothing, though. The tables of the address space that is left are
 * put aside, by its CR3, and when it comes back each entry is held against the guest's tables: what
 * they still allow goes on, the rest is dropped. A guest that writes a page-table entry pays
 * nothing for it; one that switches pays a few instructions for each page it used lately.
 *
 * In software modes there are two roots for the one guest address space. Both are walked by a CPU
 * at CPL 3, so the guest's U/S bit cannot be left to the hardware: which root is loaded decides.
 *   SHADOW_KERNEL  everything the guest kernel may reach
 *   SHADOW_USER    only pages with U/S set in the guest's tables
 * Hardware modes let the CPU enforce U/S, with SHADOW_KERNEL alone, and have all linear addresses.
 */
#ifndef TRIVISOR_SHADOW_H
#define TRIVISOR_SHADOW_H

#include "vm.h"

enum shadow_root_id { SHADOW_KERNEL, SHADOW_USER, SHADOW_ROOTS };

#define SHADOW_PDES 2048 /* 2 MB slots; software modes use those below VMM_BASE */
#define SHADOW_POOL 384  /* page tables in the pool; see make_room() for when it is empty */
#define SHADOW_TRACK 64  /* entries of a table remembered one by one, for cheap clearing */
#define SHADOW_SPACES 16 /* address spaces remembered */
#define SHADOW_SHARED SHADOW_SPACES /* in place of a space: holds global entries only */

struct shadow_table {
    uint64_t *pt;
    uint32_t count; /* entries set since the table was taken; above SHADOW_TRACK: many */
    uint16_t used[SHADOW_TRACK];
    uint16_t pde;
    uint8_t root;
    uint8_t space;         /* index into spaces[], or SHADOW_SHARED */
    bool mixed;            /* has held global entries: what becomes of them while the space is put
                            * aside is not known */
    bool large;            /* some entries are parts of a 4 MB page: INVLPG drops all of it */
    int16_t before, after; /* in the space's list of tables; -1: none */
};

/* What is remembered of a guest's address space: its tables that are not shared. */
struct shadow_space {
    uint32_t cr3;
    int16_t first;
    bool used;
    uint32_t last_use;
};

#define NO_PART UINT32_MAX

/* The tables that shadow_enter_pages() used last, for programs' entries in 2 MB. */
struct shadow_recent {
    uint32_t part;          /* gva >> 21; NO_PART: none */
    const uint32_t *pde_at; /* the guest's directory entry, and what it was */
    uint32_t pde;
    const uint32_t *guest_pt; /* the 512 entries of the guest's page table */
    struct shadow_table *table;
    uint64_t *pt;         /* its entries */
    uint32_t pages;       /* of the guest's memory */
    const uint8_t *watch; /* vm->page_watch */
    uint32_t usual, look; /* bits of a usual entry, and where to look for them */
    uint32_t add;         /* makes a shadow entry of one */
};

enum shadow_kind {
    SHADOW_WINDOW, /* two roots; no guest page is executable through SHADOW_KERNEL, because the
                    * guest kernel's code runs from a code window */
    SHADOW_PLAIN,  /* two roots, and guest pages are executable */
    SHADOW_NATIVE, /* one root, with the guest's own U/S: for hardware modes */
};

struct shadow {
    struct vm *vm;
    uint32_t own_user;            /* PTE_U for SHADOW_NATIVE: entries have the guest's own U/S */
    uint64_t *pdpt[SHADOW_ROOTS]; /* 4 entries, 32-byte aligned, below 4 GB */
    uint64_t *pd[SHADOW_ROOTS][4];
    uint64_t pde_flags[SHADOW_ROOTS]; /* in every directory entry: PTE_NX keeps a root unexecuted */
    struct shadow_table table[SHADOW_POOL];
    struct shadow_space spaces[SHADOW_SPACES + 1]; /* the last: the shared tables */
    unsigned current;                              /* index of the space that is installed */
    uint32_t switches;
    uint16_t free[SHADOW_POOL];
    unsigned free_count;
    unsigned large_count; /* tables that are large */
    struct shadow_recent recent;
    int16_t slot[SHADOW_ROOTS][SHADOW_PDES]; /* index into table[], -1: none */
    /* The entries of that table; none: hole_bucket, so that an entry can be dropped unseen. */
    uint64_t *entries[SHADOW_ROOTS][SHADOW_PDES];
    void *hole_read;               /* a page of ones: what a hole reads as */
    void *hole_bucket;             /* takes one instruction's write to a hole */
    uint64_t fills, flushes, kept; /* kept: entries that a CR3 load found still good */
    uint64_t evicted;              /* tables taken from others, because none was free */
    bool stale; /* entries were removed: CR3 must be reloaded before the guest runs */
};

enum shadow_result {
    SHADOW_FILLED,   /* an entry was set: run the instruction again */
    SHADOW_FAULT,    /* the guest's own page fault; *error is its error code */
    SHADOW_WATCHED,  /* a write to a page in vm->page_watch */
    SHADOW_HOLE,     /* a write (SHADOW_NATIVE: any access) where the guest has no memory */
    SHADOW_RESERVED, /* the guest maps something into the VMM's range and used it */
};

/* Set up empty roots. Returns NULL, or a sentence when memory is short. */
const char *shadow_init(struct shadow *shadow, struct vm *vm, enum shadow_kind kind);
void shadow_free(struct shadow *shadow);

/* What to load into CR3 for a root. */
hpa_t shadow_cr3(const struct shadow *shadow, enum shadow_root_id root);

/*
 * A page fault at gva (host error code: only PF_W is used) while the root was loaded.
 * *gpa receives the guest physical address, where the walk succeeded.
 */
enum shadow_result shadow_fault(struct shadow *shadow, enum shadow_root_id root, gva_t gva,
                                uint32_t host_error, uint32_t *error, gpa_t *gpa);

/* The same for SHADOW_NATIVE, where PF_U of the host's error code counts, too. */
enum shadow_result shadow_fault_native(struct shadow *shadow, gva_t gva, uint32_t host_error,
                                       uint32_t *error, gpa_t *gpa);

/* For one stepped instruction: let writes to gva through, to the guest page at gpa or, for a hole,
 * to a page that is thrown away. Undo with shadow_drop_page(). */
void shadow_open_page(struct shadow *shadow, enum shadow_root_id root, gva_t gva, gpa_t gpa);

/* Forget one page in both roots (INVLPG); all 4 MB, where gva has been part of a page of 4 MB. */
void shadow_drop_page(struct shadow *shadow, gva_t gva);

/*
 * The same for many pages. list: n pairs (at least one) of a word that means something to the
 * caller and a gva. What is done is what the first pair tells, and each that follows with the same
 * word and in the same 2 MB. Returns how many.
 */
unsigned shadow_drop_pages(struct shadow *shadow, const uint32_t (*list)[2], unsigned n);

/* The guest loaded CR3: forget what its tables no longer allow, but for global pages. keep: it has
 * told of every change; nothing has to be looked at. */
void shadow_switch(struct shadow *shadow, bool keep);

/* The guest has mapped pages that were not mapped: enter them for programs, if they may use them
 * and the accessed bits are set already. The list and the result: as shadow_drop_pages(). */
unsigned shadow_enter_pages(struct shadow *shadow, const uint32_t (*list)[2], unsigned n);

/* Forget what is remembered of an address space. */
void shadow_forget_space(struct shadow *shadow, uint32_t cr3);

/* Forget everything. */
void shadow_drop_all(struct shadow *shadow);

/* Tell how the CPU would reach gva through a root; false: it would fault into the VMM. And what the
 * shadow holds. */
struct sink;
bool shadow_explain(const struct shadow *shadow, enum shadow_root_id root, gva_t gva,
                    struct sink *sink);
void shadow_show(const struct shadow *shadow, struct sink *sink);

/* A page joined vm->page_watch: make sure that no writable entry for it is left. */
void shadow_protect(struct shadow *shadow, gpa_t gpa);

#endif
