/*
 * The file system on disk. Shared by the kernel and by the host's tools that make and check images.
 * All numbers are little-endian. A block is two sectors of the disk.
 *
 *   block 0                      struct fs_super; the rest of the block is zero
 *   log_start .. +log_blocks     the log: one header block, then room for its blocks
 *   inode_start ..               inodes, FS_INODES_PER_BLOCK a block; inode 0 is never used, and
 * one that is free is all zeros bitmap_block                 one bit a block of the disk, the
 * lowest bit of a byte first; 1: in use (also for everything before data_start) data_start ..
 * blocks - 1     contents of files and directories, and blocks of pointers
 *
 * The log makes a group of block writes atomic: the new contents go into the log's blocks, then
 * struct fs_log_header, which is one sector, is written with their number and places: from that
 * moment on the group has happened. The blocks are then copied home, and count becomes 0 again. Who
 * finds count > 0 on a disk copies them (again).
 */
#ifndef MINNOW_FS_FORMAT_H
#define MINNOW_FS_FORMAT_H

#include <stdint.h>

#define FS_MAGIC 0x4F4E4E4Du /* "MNNO" */
#define FS_VERSION 1
#define FS_SECTOR 512u
#define FS_BLOCK 1024u
#define FS_BLOCKS_MAX (FS_BLOCK * 8) /* one bitmap block: 8 MB */
#define FS_INODE_SIZE 64u
#define FS_INODES_PER_BLOCK (FS_BLOCK / FS_INODE_SIZE)
#define FS_ROOT 1u /* inode of the root directory */

struct fs_super {
    uint32_t magic, version, block_size, blocks;
    uint32_t log_start, log_blocks; /* header included */
    uint32_t inode_start, inodes;   /* inodes: a multiple of FS_INODES_PER_BLOCK */
    uint32_t bitmap_block, data_start;
};

#define FS_LOG_MAX 96u /* blocks in one group; log_blocks is at most one more */

struct fs_log_header {
    uint32_t count;            /* of blocks in the log; 0: nothing to do */
    uint32_t home[FS_LOG_MAX]; /* block home[i] is in log block log_start + 1 + i */
};

/* Where a file's block n is: direct[n]; from FS_DIRECT on in the block of pointers `indirect`; then
 * in the blocks of pointers that `doubly` lists. 0: no block, reads as zeros. */
#define FS_DIRECT 12u
#define FS_POINTERS (FS_BLOCK / 4)
#define FS_FILE_BLOCKS (FS_DIRECT + FS_POINTERS + FS_POINTERS * FS_POINTERS)

enum fs_type { FS_FREE, FS_FILE, FS_DIRECTORY };

struct fs_inode {
    uint16_t type;  /* enum fs_type */
    uint16_t links; /* directory entries that name it; of a directory always 1: "." and ".." do not
                       count. 0 in an inode that is not free: removed, but still open (or it was
                       when the power went: mounting frees it) */
    uint32_t size;  /* bytes */
    uint32_t direct[FS_DIRECT], indirect, doubly;
};

/* A directory is a file of these; the first two are "." and "..". inode 0: a free entry. */
#define FS_NAME_MAX 27

struct fs_dirent {
    uint32_t inode;
    char name[FS_NAME_MAX + 1]; /* zero-terminated and zero-filled */
};

#endif
