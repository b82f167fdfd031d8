/* 8042 keyboard controller with a keyboard that sends scancode set 1 (IBM PS/2 Model 50 technical
 * reference, keyboard and controller). */
#include "models.h"

#define STATUS_OUTPUT 0x01
#define STATUS_SYSTEM 0x04
#define STATUS_COMMAND 0x08
#define COMMAND_IRQ 0x01
#define COMMAND_DISABLED 0x10
#define ACK 0xFA
#define SELF_TEST_OK 0xAA

void kbd_init(struct kbd *k)
{
    *k = (struct kbd){
        .status = STATUS_SYSTEM, .command_byte = 0x45, .scanning = true, .output_port = 0x03};
}

static void queue(struct kbd *k, uint8_t byte)
{
    if (k->count < sizeof(k->queue))
        k->queue[(k->head + k->count++) % sizeof(k->queue)] = byte;
}

bool kbd_key(struct kbd *k, uint8_t scancode)
{
    if (k->count == sizeof(k->queue))
        return false;
    if (k->scanning && !(k->command_byte & COMMAND_DISABLED))
        queue(k, scancode);
    return true;
}

bool kbd_irq(const struct kbd *k)
{
    return k->count && (k->command_byte & COMMAND_IRQ);
}

uint8_t kbd_in(struct kbd *k, uint16_t port)
{
    if (port == 0x64)
        return k->status | (k->count ? STATUS_OUTPUT : 0);
    if (k->count) {
        k->output = k->queue[k->head];
        k->head = (uint8_t)((k->head + 1) % sizeof(k->queue));
        k->count--;
    }
    return k->output;
}

/* A command on port 0x64. Returns true for the reset pulse. */
static bool controller_command(struct kbd *k, uint8_t value)
{
    k->status |= STATUS_COMMAND;
    k->pending_command = 0;
    switch (value) {
    case 0x20:
        queue(k, k->command_byte);
        break;
    case 0x60:
    case 0xD1:
    case 0xD2:
        k->pending_command = value;
        break;
    case 0xAA:
        queue(k, 0x55);
        break;
    case 0xAB:
        queue(k, 0x00);
        break;
    case 0xAD:
        k->command_byte |= COMMAND_DISABLED;
        break;
    case 0xAE:
        k->command_byte &= (uint8_t)~COMMAND_DISABLED;
        break;
    case 0xD0:
        queue(k, k->output_port);
        break;
    default:
        /* 0xF0..0xFF pulse output lines that are zero in the low bits; line 0 is reset. */
        return value >= 0xF0 && !(value & 1);
    }
    return false;
}

/* A byte for the keyboard itself. */
static void keyboard_command(struct kbd *k, uint8_t value)
{
    if (k->expect_data) { /* the argument of ED, F0 or F3 */
        k->expect_data = false;
        queue(k, ACK);
        return;
    }
    queue(k, value == 0xEE ? 0xEE : ACK);
    switch (value) {
    case 0xED:
    case 0xF0:
    case 0xF3:
        k->expect_data = true;
        break;
    case 0xF2:
        queue(k, 0xAB);
        queue(k, 0x83);
        break;
    case 0xF4:
        k->scanning = true;
        break;
    case 0xF5:
        k->scanning = false;
        break;
    case 0xFF:
        k->scanning = true;
        queue(k, SELF_TEST_OK);
        break;
    }
}

bool kbd_out(struct kbd *k, uint16_t port, uint8_t value)
{
    if (port == 0x64)
        return controller_command(k, value);
    k->status &= (uint8_t)~STATUS_COMMAND;
    const uint8_t command = k->pending_command;
    k->pending_command = 0;
    if (command == 0x60) {
        k->command_byte = value;
    } else if (command == 0xD1) {
        k->output_port = value;
        return !(value & 1);
    } else if (command == 0xD2) {
        queue(k, value);
    } else {
        keyboard_command(k, value);
    }
    return false;
}
