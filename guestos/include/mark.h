/*
 * Benchmark marks: a 32-bit OUT to MARK_PORT tells an observer (a VMM) that operation id begins or
 * ends. On the bare machine nobody listens there.
 */
#ifndef MINNOW_MARK_H
#define MINNOW_MARK_H

#define MARK_PORT 0x7E0
#define MARK_BEGIN 0x10000 /* | id */
#define MARK_END 0x20000

#endif
