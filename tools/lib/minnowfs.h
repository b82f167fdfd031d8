/*
 * Minnow's file system (guestos/include/fs_format.h) on the host: making, checking, repairing and
 * reading images. An image is a buffer in memory; nothing here trusts what it holds.
 */
#ifndef TOOLS_MINNOWFS_H
#define TOOLS_MINNOWFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fs_format.h"
#include "util.h"

/*
 * An image of `blocks` blocks with `inodes` inodes and the files of the folder `dir`: the same
 * folder gives the same bytes. Returns the image, blocks * FS_BLOCK bytes, to be freed; or NULL,
 * and *error says why (to be freed).
 */
uint8_t *minnowfs_make(const char *dir, uint32_t blocks, uint32_t inodes, char **error);

/*
 * Every rule of fs_format.h that the image breaks adds a line to *report ("inode 7: ...\n"), at
 * most MINNOWFS_REPORTED of them; returns how many there are. A log that has not been copied home
 * (count > 0) is not damage, but the image is checked as it stands: recover it first. Files that
 * are unlinked but not freed yet (links 0, as after a power cut) are not damage either; their
 * number goes to *orphans (which may be NULL).
 */
unsigned minnowfs_check(const uint8_t *image, size_t size, struct text *report, unsigned *orphans);
#define MINNOWFS_REPORTED 100

/*
 * What mounting does to the log: copy its blocks home and empty it. Returns the number of blocks
 * copied; -1: the superblock or the log's header is damaged, and nothing was changed.
 */
int minnowfs_recover(uint8_t *image, size_t size);

/*
 * Read a checked image. minnowfs_find() follows a path ("/" is the root): the inode's number, 0:
 * there is none. minnowfs_read() copies up to n bytes of a file or directory from offset on, and
 * returns how many.
 */
uint32_t minnowfs_find(const uint8_t *image, const char *path);
struct fs_inode minnowfs_inode(const uint8_t *image, uint32_t number);
uint32_t minnowfs_read(const uint8_t *image, uint32_t number, uint32_t offset, void *to,
                       uint32_t n);

#endif
