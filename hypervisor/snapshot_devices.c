/*
 * The devices in a snapshot; see snapshot.h. What a model relies on without looking (an index, a
 * divisor, a part of the disk) is checked here.
 */
#include "snapshot.h"

#include "devices/models.h"

static void pic(struct snap_io *io, struct pic *pic)
{
    for (int i = 0; i < 2; i++) {
        struct pic_chip *c = &pic->chip[i];
        SNAP(io, c->irr);
        SNAP(io, c->isr);
        SNAP(io, c->imr);
        SNAP(io, c->lines);
        SNAP(io, c->vector_base);
        SNAP(io, c->icw_step);
        SNAP(io, c->elcr);
        SNAP(io, c->initialised);
        SNAP(io, c->single);
        SNAP(io, c->need_icw4);
        SNAP(io, c->read_isr);
        SNAP(io, c->poll);
        SNAP(io, c->auto_eoi);
        SNAP(io, c->rotate_aeoi);
        SNAP(io, c->special_mask);
        SNAP(io, c->sfnm);
        SNAP(io, c->priority);
        snap_check(io, c->priority < 8 && c->icw_step <= 4, "the PIC is in no state that exists");
    }
    SNAP(io, pic->intr);
}

static void pit_channel(struct snap_io *io, struct pit_channel *c)
{
    SNAP(io, c->mode);
    SNAP(io, c->access);
    SNAP(io, c->bcd);
    SNAP(io, c->high_next_write);
    SNAP(io, c->high_next_read);
    SNAP(io, c->gate);
    SNAP(io, c->latched);
    SNAP(io, c->status_latched);
    SNAP(io, c->counting);
    SNAP(io, c->due);
    SNAP(io, c->latch);
    SNAP(io, c->status);
    SNAP(io, c->write_low);
    SNAP(io, c->reload);
    SNAP(io, c->next_reload);
    SNAP(io, c->start);
    SNAP(io, c->held);
    SNAP(io, c->fired);
    snap_check(io,
               c->mode <= 5 && c->access >= 1 && c->access <= 3 && c->bcd <= 1 && c->reload >= 1 &&
                   c->reload <= 65536 && c->next_reload <= 65536,
               "the PIT is in no state that exists");
}

static void uart(struct snap_io *io, struct uart *u)
{
    SNAP(io, u->ier);
    SNAP(io, u->fcr);
    SNAP(io, u->lcr);
    SNAP(io, u->mcr);
    SNAP(io, u->scr);
    SNAP(io, u->dll);
    SNAP(io, u->dlm);
    SNAP(io, u->modem_delta);
    snap_bytes(io, u->rx, sizeof(u->rx));
    SNAP(io, u->rx_head);
    SNAP(io, u->rx_count);
    SNAP(io, u->thre_pending);
    SNAP(io, u->overrun);
    SNAP(io, u->tx_full);
    snap_check(io, u->rx_head < sizeof(u->rx) && u->rx_count <= sizeof(u->rx),
               "the UART's buffer is in no state that exists");
}

static void kbd(struct snap_io *io, struct kbd *k)
{
    SNAP(io, k->status);
    SNAP(io, k->command_byte);
    SNAP(io, k->output_port);
    SNAP(io, k->output);
    SNAP(io, k->pending_command);
    SNAP(io, k->keyboard_command);
    SNAP(io, k->reply);
    SNAP(io, k->reply_full);
    SNAP(io, k->scanning);
    snap_bytes(io, k->queue, sizeof(k->queue));
    SNAP(io, k->head);
    SNAP(io, k->count);
    snap_check(io, k->head < sizeof(k->queue) && k->count <= sizeof(k->queue),
               "the keyboard's queue is in no state that exists");
}

static void cmos(struct snap_io *io, struct cmos *c)
{
    SNAP(io, c->index);
    snap_bytes(io, c->ram, sizeof(c->ram));
    SNAP(io, c->boot_seconds);
    SNAP(io, c->periods);
    snap_check(io, c->index < sizeof(c->ram), "the CMOS index points behind its memory");
    snap_check(io, c->boot_seconds < 1ull << 33, "the clock is beyond the year 2200");
}

static void vga(struct snap_io *io, struct vga *v)
{
    SNAP(io, v->crtc_index);
    snap_bytes(io, v->crtc, sizeof(v->crtc));
    snap_bytes(io, v->latch, sizeof(v->latch));
    SNAP(io, v->status);
}

/* A block that waits for the guest's data goes to the disk without another look. */
static bool block_fits(const struct ide *d)
{
    const uint32_t n = d->end / IDE_SECTOR;
    if (d->at > d->end || d->end > sizeof(d->block) || d->end % IDE_SECTOR)
        return false;
    if (!d->writing || !(d->status & IDE_DRQ))
        return true;
    return n <= d->left && d->next <= d->sectors && n <= d->sectors - d->next;
}

static void ide(struct snap_io *io, struct ide *d)
{
    uint32_t sectors = d->sectors;
    SNAP(io, sectors);
    snap_check(io, sectors == d->sectors, "the drive is not the disk of the header");
    SNAP(io, d->features);
    SNAP(io, d->error);
    SNAP(io, d->count);
    SNAP(io, d->lba_low);
    SNAP(io, d->lba_mid);
    SNAP(io, d->lba_high);
    SNAP(io, d->device);
    SNAP(io, d->status);
    SNAP(io, d->control);
    SNAP(io, d->multiple);
    SNAP(io, d->heads);
    SNAP(io, d->track);
    SNAP(io, d->irq);
    SNAP(io, d->writing);
    SNAP(io, d->next);
    SNAP(io, d->left);
    SNAP(io, d->per_block);
    SNAP(io, d->at);
    SNAP(io, d->end);
    snap_bytes(io, d->block, sizeof(d->block));
    snap_check(io,
               d->heads >= 1 && d->heads <= 16 && d->track >= 1 && d->track <= 255 &&
                   d->multiple <= IDE_MULTIPLE && d->per_block <= IDE_MULTIPLE && d->left <= 256 &&
                   (d->per_block || !d->left) && block_fits(d),
               "the drive is in no state that exists");
}

/* Only what the guest can write; the rest is what the functions are. */
static void pci(struct snap_io *io, struct pci *pci)
{
    SNAP(io, pci->address);
    for (unsigned i = 0; i < PCI_DEVICES; i++) {
        struct pci_function *f = &pci->device[i];
        for (unsigned at = 0; f->present && at < PCI_CONFIG_SIZE; at++) {
            uint8_t value = f->bytes[at];
            SNAP(io, value);
            f->bytes[at] = (uint8_t)((f->bytes[at] & ~f->writable[at]) | (value & f->writable[at]));
        }
    }
}

static void queue(struct snap_io *io, const struct devices *dev, struct virtqueue *q)
{
    bool enabled = q->enabled;
    SNAP(io, q->size);
    SNAP(io, enabled);
    for (int i = 0; i < 3; i++)
        SNAP(io, q->address[i]);
    SNAP(io, q->seen);
    SNAP(io, q->done);
    SNAP(io, q->signalled);
    const bool good = q->size && q->size <= VQ_SIZE_MAX && !(q->size & (q->size - 1));
    snap_check(io, good, "a virtqueue has no size that exists");
    if (!io->saving && good && enabled)
        snap_check(io, vq_enable(&dev->host, q), "a virtqueue is not in the guest's memory");
}

static void virtio(struct snap_io *io, const struct devices *dev, struct virtio *v)
{
    if (!v->kind)
        return;
    SNAP(io, v->features);
    SNAP(io, v->device_select);
    SNAP(io, v->driver_select);
    SNAP(io, v->queue_select);
    SNAP(io, v->status);
    SNAP(io, v->isr);
    for (unsigned i = 0; i < VIRTIO_QUEUES; i++)
        queue(io, dev, &v->queue[i]);
}

static void virtio_console(struct snap_io *io, struct virtio_console *c)
{
    snap_bytes(io, c->fifo, sizeof(c->fifo));
    SNAP(io, c->head);
    SNAP(io, c->count);
    snap_check(io, c->head < VIRTIO_CONSOLE_FIFO && c->count <= VIRTIO_CONSOLE_FIFO,
               "the virtio console's buffer is in no state that exists");
}

void snap_devices(struct snap_io *io, struct devices *dev)
{
    SNAP(io, dev->oneshot.deadline);
    SNAP(io, dev->oneshot.vector);
    SNAP(io, dev->oneshot.pending);
    pic(io, &dev->pic);
    for (int i = 0; i < 3; i++)
        pit_channel(io, &dev->pit.ch[i]);
    SNAP(io, dev->pit.port61);
    uart(io, &dev->uart);
    kbd(io, &dev->kbd);
    cmos(io, &dev->cmos);
    vga(io, &dev->vga);
    ide(io, &dev->ide);
    pci(io, &dev->pci);
    virtio(io, dev, &dev->blk.v);
    virtio(io, dev, &dev->console.v);
    virtio_console(io, &dev->console);
    SNAP(io, dev->powered_off);
    SNAP(io, dev->shutdown_step);
    snap_check(io, dev->shutdown_step < 8, "port 0x8900 is in no state that exists");
}
