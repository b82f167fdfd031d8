/* Chains of descriptors, plain and indirect, long and short (OASIS virtio 1.2, 2.7.5). */
#include "virtio_setup.h"

TestSuite(virtio_chains, .init = virtio_setup);

Test(virtio_chains, indirect_descriptors)
{
    start_blk(F_FLUSH | F_INDIRECT);
    three_pieces(DATA + 0x800, 0, 2, 512);
    descriptor(TABLE(0), 3, DATA + 0x800, 48, INDIRECT, 0);
    offer(0, SIZE, 3);
    notify(BLK, 0);
    cr_expect_eq(peek(STATUS_BYTE, 1), 0);
    cr_expect_arr_eq(ram + BUFFER, media + 2 * IDE_SECTOR, 512);
    cr_expect_eq(peek(USED(0) + 4, 4), 3, "the head is the outer one");

    /* Some plain descriptors may come first. */
    descriptor(TABLE(0), 5, HEADER, 16, NEXT, 6);
    descriptor(TABLE(0), 6, DATA + 0x810, 32, INDIRECT, 0);
    descriptor(DATA + 0x810, 0, BUFFER, 512, NEXT | WRITE, 1);
    descriptor(DATA + 0x810, 1, STATUS_BYTE, 1, WRITE, 0);
    poke(STATUS_BYTE, 1, 0xEE);
    poke(HEADER + 8, 8, 7);
    offer(0, SIZE, 5);
    notify(BLK, 0);
    cr_expect_eq(peek(STATUS_BYTE, 1), 0);
    cr_expect_arr_eq(ram + BUFFER, media + 7 * IDE_SECTOR, 512);
}

/* Such a table may lie anywhere (2.7.5.3): the alignments of 2.7 are those of the queue's parts. */
Test(virtio_chains, indirect_tables_anywhere)
{
    start_blk(F_FLUSH | F_INDIRECT);
    for (uint32_t at = DATA + 0x800; at < DATA + 0x810; at++) {
        three_pieces(at, 0, at % SECTORS, 512);
        descriptor(TABLE(0), 3, at, 48, INDIRECT, 0);
        offer(0, SIZE, 3);
        notify(BLK, 0);
        cr_assert_eq(peek(STATUS_BYTE, 1), 0, "%x", at);
        cr_expect_arr_eq(ram + BUFFER, media + at % SECTORS * IDE_SECTOR, 512);
    }
}

/* 2.7.5.3.1: a chain may be as long as the queue, and no longer, wherever it is. */
Test(virtio_chains, longest_chains)
{
    static const uint32_t sizes[] = {4, 64, VQ_SIZE_MAX};
    const uint32_t table = DATA + 0x400;
    for (unsigned i = 0; i < 2 * ARRAY_LEN(sizes); i++) {
        const uint32_t size = sizes[i / 2], n = size + i % 2;
        virtio_setup();
        begin(BLK, F_FLUSH | F_INDIRECT);
        queue(BLK, 0, size);
        go(BLK);
        poke(HEADER, 4, 4);
        poke(STATUS_BYTE, 1, 0xEE);
        for (unsigned k = 0; k < n; k++)
            descriptor(table, k, HEADER, k ? 1 : 16, NEXT, k + 1);
        descriptor(table, n - 1, STATUS_BYTE, 1, WRITE, 0);
        descriptor(TABLE(0), 0, table, n * 16, INDIRECT, 0);
        offer(0, size, 0);
        notify(BLK, 0);
        cr_expect_eq(flushes, i % 2 ? 0 : 1, "%u pieces of %u", n, size);
        cr_expect_eq(!(reg_in(BLK, STATUS, 1) & NEEDS_RESET), n == size, "%u pieces", n);
    }
}

static void *endless_ram(void *opaque, gpa_t gpa, uint32_t n)
{
    return n > RAM_SIZE ? ram : ram_at(opaque, gpa, n);
}

/* 2.7.5.2: the pieces of a request are 2^32 bytes at most, together. */
Test(virtio_chains, requests_of_more_than_4_gb)
{
    dev.host.ram = endless_ram;
    for (uint32_t more = 0; more < 2; more++) {
        flushes = 0;
        start_blk(F_FLUSH);
        poke(HEADER, 4, 4);
        descriptor(TABLE(0), 0, HEADER, 16, NEXT, 1);
        descriptor(TABLE(0), 1, 0, 0x80000000, NEXT, 2);
        descriptor(TABLE(0), 2, 0, 0x80000000 - 17 + more, NEXT, 3);
        descriptor(TABLE(0), 3, STATUS_BYTE, 1, WRITE, 0);
        poke(AVAILABLE(0) + 2, 2, 0);
        offer(0, SIZE, 0);
        notify(BLK, 0);
        cr_expect_eq(flushes, 1 - more, "%u", more);
        cr_expect_eq(!(reg_in(BLK, STATUS, 1) & NEEDS_RESET), !more);
    }
}

/* 2.7.5.3.1: the flag of a descriptor that refers to a table means nothing there. */
Test(virtio_chains, indirect_write_flag_is_ignored)
{
    start_blk(F_FLUSH | F_INDIRECT);
    three_pieces(DATA + 0x800, 0, 2, 512);
    descriptor(TABLE(0), 3, DATA + 0x800, 48, INDIRECT | WRITE, 0);
    offer(0, SIZE, 3);
    notify(BLK, 0);
    cr_expect_eq(peek(STATUS_BYTE, 1), 0);
    cr_expect_arr_eq(ram + BUFFER, media + 2 * IDE_SECTOR, 512);
}

/* Requests whose data are written over the available ring and the header, so that each makes one
 * more. With a larger disk they would do so for ever: they are done, but not all in one go. */
Test(virtio_chains, requests_that_make_requests)
{
    start_blk(F_FLUSH);
    descriptor(TABLE(0), 0, HEADER, 16, NEXT, 1);
    descriptor(TABLE(0), 1, AVAILABLE(0), 4, NEXT | WRITE, 2);
    descriptor(TABLE(0), 2, HEADER, 16, NEXT | WRITE, 3);
    descriptor(TABLE(0), 3, BUFFER, 492, NEXT | WRITE, 4);
    descriptor(TABLE(0), 4, STATUS_BYTE, 1, WRITE, 0);
    memset(media, 0, sizeof(media));
    for (unsigned s = 0; s < SECTORS; s++) {
        media[s * IDE_SECTOR + 2] = (uint8_t)(SIZE + s + 1); /* available.index */
        media[s * IDE_SECTOR + 4 + 8] = (uint8_t)(s + 1);    /* the next one's sector */
    }
    poke(AVAILABLE(0) + 2, 2, SIZE);
    for (unsigned turn = 1; turn <= 4; turn++) {
        const unsigned done = turn * SIZE < SIZE + SECTORS ? turn * SIZE : SIZE + SECTORS;
        notify(BLK, 0);
        cr_expect_eq(peek(USED(0) + 2, 2), done, "turn %u: %u", turn, peek(USED(0) + 2, 2));
        cr_expect_not(reg_in(BLK, STATUS, 1) & NEEDS_RESET);
    }
}
