/* Numbers of a snapshot to bytes and back; see snapshot.h. */
#include <string.h>

#include "snapshot.h"

static bool room(struct snap_io *io, uint32_t n)
{
    snap_check(io, n <= (uint32_t)(io->end - io->at), "it ends too soon");
    return n <= (uint32_t)(io->end - io->at);
}

void snap_number(struct snap_io *io, uint64_t *v, unsigned bytes)
{
    if (!room(io, bytes)) {
        *v = 0;
        return;
    }
    if (!io->saving)
        *v = 0;
    for (unsigned i = 0; i < bytes; i++) {
        if (io->saving)
            io->at[i] = (uint8_t)(*v >> 8 * i);
        else
            *v |= (uint64_t)io->at[i] << 8 * i;
    }
    io->at += bytes;
}

void snap_bytes(struct snap_io *io, void *bytes, uint32_t n)
{
    if (!room(io, n))
        return;
    if (io->saving)
        memcpy(io->at, bytes, n);
    else
        memcpy(bytes, io->at, n);
    io->at += n;
}

void snap_check(struct snap_io *io, bool good, const char *what)
{
    if (!good && !io->wrong)
        io->wrong = what;
}

/* Four tables, so that four bytes at a time need no shifts bit by bit: a snapshot is some
 * megabytes. table[k][b]: byte b, and k bytes of zeros behind it. */
static uint32_t table[4][256];

static void make_tables(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        table[0][b] = crc;
    }
    for (uint32_t b = 0; b < 256; b++) {
        for (int k = 1; k < 4; k++)
            table[k][b] = table[k - 1][b] >> 8 ^ table[0][table[k - 1][b] & 0xFF];
    }
}

uint32_t snap_crc(uint32_t crc, const void *bytes, uint32_t n)
{
    const uint8_t *at = bytes;
    if (!table[0][1])
        make_tables();
    crc = ~crc;
    for (; n >= 4; n -= 4, at += 4) {
        uint32_t word;
        memcpy(&word, at, 4); /* the host is little-endian: it is an x86 */
        crc ^= word;
        crc = table[3][crc & 0xFF] ^ table[2][crc >> 8 & 0xFF] ^ table[1][crc >> 16 & 0xFF] ^
              table[0][crc >> 24];
    }
    for (; n; n--)
        crc = crc >> 8 ^ table[0][(crc ^ *at++) & 0xFF];
    return ~crc;
}
