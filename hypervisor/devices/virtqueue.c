/*
 * The split virtqueue (OASIS Virtual I/O Device 1.2, 2.7), on the device's side.
 *
 * The guest wrote the rings and may write them at any time: each of its fields is loaded once, and
 * checked before use. All positions that matter later are the device's own copies.
 */
#include <string.h>

#include "models.h"

#define DESC_NEXT 1u /* 2.7.5 */
#define DESC_WRITE 2u
#define DESC_INDIRECT 4u
#define NO_INTERRUPT 1u /* available.flags, 2.7.6 */
#define NO_NOTIFY 1u    /* used.flags, 2.7.8 */
#define TOTAL_MAX 0x100000000ull

/* n bytes of guest RAM at a multiple of `align`, or NULL. */
static void *memory(const struct device_host *host, uint64_t gpa, uint64_t n, uint32_t align)
{
    if (gpa + n > TOTAL_MAX || gpa >= TOTAL_MAX || gpa % align)
        return NULL;
    return host->ram(host->opaque, (gpa_t)gpa, (uint32_t)n);
}

static void note_write(const struct device_host *host, uint64_t gpa, uint32_t n)
{
    if (host->ram_written && n)
        host->ram_written(host->opaque, (gpa_t)gpa, n);
}

/* Sizes and alignments: 2.7. The events behind the rings are there even where nobody uses them. */
bool vq_enable(const struct device_host *host, struct virtqueue *q)
{
    const uint32_t n = q->size;
    q->table = memory(host, q->address[0], n * sizeof(struct vq_descriptor), 16);
    q->available = memory(host, q->address[1], sizeof(*q->available) + n * 2 + 2, 2);
    q->used = memory(host, q->address[2], sizeof(*q->used) + n * sizeof(q->used->ring[0]) + 2, 4);
    q->enabled = q->table && q->available && q->used;
    return q->enabled;
}

static volatile uint16_t *used_event(const struct virtqueue *q)
{
    return &q->available->ring[q->size];
}

static volatile uint16_t *available_event(const struct virtqueue *q)
{
    return (volatile uint16_t *)&q->used->ring[q->size];
}

static struct vq_descriptor load(const volatile struct vq_descriptor *d)
{
    return (struct vq_descriptor){d->address, d->length, d->flags, d->next};
}

/* 2.7.4.2: what the device writes comes behind what it reads; and no more pieces than the queue is
 * long (2.7.5.3.1), which also ends a chain that bites its tail. */
static bool take_piece(const struct device_host *host, const struct virtqueue *q,
                       struct vq_request *r, const struct vq_descriptor *d)
{
    const bool written = d->flags & DESC_WRITE;
    uint8_t *at = memory(host, d->address, d->length, 1);
    if (r->pieces == q->size || (!written && r->pieces > r->readable) || (d->length && !at))
        return false;
    r->piece[r->pieces++] = (struct vq_piece){at, (gpa_t)d->address, d->length};
    if (written) {
        r->from_device += d->length;
    } else {
        r->readable++;
        r->to_device += d->length;
    }
    return r->to_device + r->from_device <= TOTAL_MAX;
}

/* A table of descriptors, from `next` on. */
struct table {
    const volatile struct vq_descriptor *at;
    uint32_t length;
    bool indirect;
};

/* 2.7.5.3: only the last descriptor of a chain refers to a table, and none in such a table does. */
static bool enter_indirect(const struct device_host *host, uint64_t features, struct table *t,
                           const struct vq_descriptor *d)
{
    const uint32_t n = d->length / sizeof(struct vq_descriptor);
    if (!(features & VIRTIO_F_INDIRECT_DESC) || t->indirect || d->flags & DESC_NEXT || !n ||
        d->length % sizeof(struct vq_descriptor))
        return false;
    *t = (struct table){memory(host, d->address, d->length, 1), n, true};
    return t->at && d->address % 16 == 0;
}

static bool follow_chain(const struct device_host *host, const struct virtqueue *q,
                         uint64_t features, struct vq_request *r)
{
    struct table t = {q->table, q->size, false};
    uint32_t next = r->head;
    for (;;) {
        if (next >= t.length)
            return false;
        const struct vq_descriptor d = load(&t.at[next]);
        if (d.flags & DESC_INDIRECT) {
            if (!enter_indirect(host, features, &t, &d))
                return false;
            next = 0;
            continue;
        }
        if (!take_piece(host, q, r, &d))
            return false;
        if (!(d.flags & DESC_NEXT))
            return true;
        next = d.next;
    }
}

enum vq_result vq_pop(const struct device_host *host, struct virtqueue *q, uint64_t features,
                      struct vq_request *r)
{
    const uint16_t waiting = (uint16_t)(q->available->index - q->seen);
    if (!waiting)
        return VQ_EMPTY;
    if (waiting > q->size)
        return VQ_BROKEN;
    r->head = q->available->ring[q->seen % q->size];
    r->pieces = r->readable = 0;
    r->to_device = r->from_device = 0;
    if (!follow_chain(host, q, features, r))
        return VQ_BROKEN;
    q->seen++;
    return VQ_REQUEST;
}

void vq_push(const struct device_host *host, struct virtqueue *q, uint16_t head, uint32_t written)
{
    const uint16_t i = q->done++ % q->size;
    q->used->ring[i].head = head;
    q->used->ring[i].length = written;
    q->used->index = q->done;
    note_write(host, q->address[2] + sizeof(*q->used) + i * sizeof(q->used->ring[0]),
               sizeof(q->used->ring[0]));
    note_write(host, q->address[2], sizeof(*q->used));
}

/* 2.7.7.2, and for event indexes 2.7.7.1: is used_event among the entries since the last time? */
bool vq_wants_interrupt(struct virtqueue *q, uint64_t features)
{
    const uint16_t before = q->signalled, now = q->done;
    q->signalled = now;
    if (now == before)
        return false;
    if (!(features & VIRTIO_F_EVENT_IDX))
        return !(q->available->flags & NO_INTERRUPT);
    return (uint16_t)(now - *used_event(q) - 1) < (uint16_t)(now - before);
}

/* 2.7.10. What is not wanted may come all the same. */
void vq_ask(const struct device_host *host, struct virtqueue *q, uint64_t features, bool wanted)
{
    if (features & VIRTIO_F_EVENT_IDX) {
        *available_event(q) = wanted ? q->seen : (uint16_t)(q->seen - 1);
        note_write(host, q->address[2] + sizeof(*q->used) + q->size * sizeof(q->used->ring[0]), 2);
    } else {
        q->used->flags = wanted ? 0 : NO_NOTIFY;
        note_write(host, q->address[2], sizeof(*q->used));
    }
}

struct vq_cursor vq_readable(const struct vq_request *r)
{
    return (struct vq_cursor){r->piece, r->piece + r->readable, 0};
}

struct vq_cursor vq_writable(const struct vq_request *r)
{
    return (struct vq_cursor){r->piece + r->readable, r->piece + r->pieces, 0};
}

/* Step over up to `max` bytes that lie in one piece; how many, 0: the end. */
static uint32_t take(struct vq_cursor *c, uint32_t max, uint8_t **at, gpa_t *gpa)
{
    while (c->next < c->end && c->offset == c->next->length) {
        c->next++;
        c->offset = 0;
    }
    if (c->next == c->end)
        return 0;
    const uint32_t rest = c->next->length - c->offset, n = max < rest ? max : rest;
    *at = c->next->at + c->offset;
    *gpa = c->next->gpa + c->offset;
    c->offset += n;
    return n;
}

void vq_skip(struct vq_cursor *c, uint64_t n)
{
    uint8_t *at;
    gpa_t gpa;
    for (uint32_t part = 1; n && part; n -= part)
        part = take(c, n < UINT32_MAX ? (uint32_t)n : UINT32_MAX, &at, &gpa);
}

uint32_t vq_read(struct vq_cursor *c, void *to, uint32_t n)
{
    uint32_t done = 0;
    uint8_t *at;
    gpa_t gpa;
    for (uint32_t part; done < n && (part = take(c, n - done, &at, &gpa)); done += part)
        memcpy((uint8_t *)to + done, at, part);
    return done;
}

uint32_t vq_write(const struct device_host *host, struct vq_cursor *c, const void *from, uint32_t n)
{
    uint32_t done = 0;
    uint8_t *at;
    gpa_t gpa;
    for (uint32_t part; done < n && (part = take(c, n - done, &at, &gpa)); done += part) {
        memcpy(at, (const uint8_t *)from + done, part);
        note_write(host, gpa, part);
    }
    return done;
}
