/* The virtual devices' state, for people. */
#include "devices.h"
#include "monitor.h"
#include "vmm.h"

static void say_pic(struct sink *sink, const struct pic *pic)
{
    static const char *const names[2] = {"master", "slave"};
    for (unsigned i = 0; i < 2; i++) {
        const struct pic_chip *c = &pic->chip[i];
        say(sink,
            "pic %-6s  vectors from %02x  requested %02x  in service %02x  masked %02x  lines "
            "%02x%s",
            names[i], c->vector_base, c->irr, c->isr, c->imr, c->lines,
            c->initialised ? "" : "  (not initialised)");
    }
    say(sink, "pic interrupt pin: %s", pic->intr ? "an interrupt waits" : "quiet");
}

#define PIT_HZ 1193182u

static void say_pit(struct sink *sink, const struct pit *pit)
{
    for (unsigned i = 0; i < 3; i++) {
        const struct pit_channel *c = &pit->ch[i];
        if (!c->reload)
            say(sink, "pit channel %u  mode %u  not programmed", i, c->mode);
        else
            say(sink, "pit channel %u  mode %u  count %u (%u per second)%s%s", i, c->mode,
                c->reload, PIT_HZ / c->reload, c->counting ? "" : "  stopped",
                c->due ? "  due" : "");
    }
}

static void say_uart(struct sink *sink, const struct uart *u)
{
    say(sink, "uart com1  ier %02x  lcr %02x  mcr %02x  divisor %u  %u bytes wait for the guest%s",
        u->ier, u->lcr, u->mcr, u->dlm << 8 | u->dll, u->rx_count, u->overrun ? "  overrun" : "");
}

static void say_ide(struct sink *sink, const struct ide *ide)
{
    if (!ide->sectors) {
        say(sink, "ide  no disk");
        return;
    }
    say(sink, "ide  %u sectors  status %02x%s%s%s  error %02x  interrupt %s", ide->sectors,
        ide->status, ide->status & IDE_DRDY ? " ready" : "",
        ide->status & IDE_DRQ ? (ide->writing ? " wants data" : " has data") : "",
        ide->status & IDE_ERR ? " error" : "", ide->error, ide->irq ? "on" : "off");
    if (ide->left)
        say(sink, "ide  command in hand: next sector %u, %u left, byte %u of %u", ide->next,
            ide->left, ide->at, ide->end);
}

static void say_virtio(struct sink *sink, const char *name, const struct virtio *v)
{
    if (!v->kind) {
        say(sink, "virtio %s  not there", name);
        return;
    }
    say(sink, "virtio %s  status %02x  features %08x%08x  isr %02x", name, v->status,
        (uint32_t)(v->features >> 32), (uint32_t)v->features, v->isr);
    for (unsigned i = 0; i < VIRTIO_QUEUES; i++) {
        const struct virtqueue *q = &v->queue[i];
        if (q->enabled)
            say(sink, "virtio %s  queue %u: size %u, descriptors at %08x, taken %u, given back %u",
                name, i, q->size, (uint32_t)q->address[0], q->seen, q->done);
    }
}

bool command_devices(struct vm *vm, struct sink *sink, int argc, char **argv)
{
    const struct devices *dev = &vm->dev;
    (void)argc;
    (void)argv;
    say_pic(sink, &dev->pic);
    say_pit(sink, &dev->pit);
    say_uart(sink, &dev->uart);
    say(sink, "keyboard  status %02x  %u scancodes wait", dev->kbd.status, dev->kbd.count);
    say_ide(sink, &dev->ide);
    say_virtio(sink, "blk", &dev->blk.v);
    say_virtio(sink, "console", &dev->console.v);
    say_data(sink, "\"irr\":%u,\"isr\":%u,\"imr\":%u",
             dev->pic.chip[0].irr | dev->pic.chip[1].irr << 8,
             dev->pic.chip[0].isr | dev->pic.chip[1].isr << 8,
             dev->pic.chip[0].imr | dev->pic.chip[1].imr << 8);
    return true;
}
