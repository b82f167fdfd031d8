/* 8042 keyboard controller with a keyboard on it (IBM PS/2 technical reference, keyboard and
 * auxiliary device controller). Simplified: the host hands over scancodes of set 1, as a controller
 * that translates (its default) gives them; a guest that turns translation off still gets set 1.
 * There is no mouse: commands for it are taken and not answered. */
#include "models.h"

#define STATUS_OUTPUT 0x01
#define STATUS_SYSTEM 0x04
#define STATUS_COMMAND 0x08
#define STATUS_UNLOCKED 0x10
#define COMMAND_IRQ 0x01
#define COMMAND_SYSTEM 0x04
#define COMMAND_DISABLED 0x10
#define COMMAND_TRANSLATE 0x40
#define OUTPUT_NO_RESET 0x01
#define OUTPUT_A20 0x02
#define ACK 0xFA
#define RESEND 0xFE
#define SELF_TEST_OK 0xAA
#define ANSWER_ROOM 4 /* bytes of the queue that keys leave to the keyboard's answers */

void kbd_init(struct kbd *k)
{
    *k = (struct kbd){.status = STATUS_SYSTEM | STATUS_UNLOCKED,
                      .command_byte = COMMAND_TRANSLATE | COMMAND_SYSTEM | COMMAND_IRQ,
                      .output_port = OUTPUT_A20 | OUTPUT_NO_RESET,
                      .scanning = true};
}

/* A byte from the keyboard. */
static void queue(struct kbd *k, uint8_t byte)
{
    if (k->count < sizeof(k->queue))
        k->queue[(k->head + k->count++) % sizeof(k->queue)] = byte;
}

/* A byte from the controller. */
static void reply(struct kbd *k, uint8_t byte)
{
    k->reply = byte;
    k->reply_full = true;
}

/* While the controller holds the keyboard's clock, the keyboard keeps what it has. */
static bool keyboard_byte_ready(const struct kbd *k)
{
    return k->count && !(k->command_byte & COMMAND_DISABLED);
}

bool kbd_room(const struct kbd *k)
{
    return k->count < sizeof(k->queue) - ANSWER_ROOM;
}

bool kbd_key(struct kbd *k, uint8_t scancode)
{
    if (!kbd_room(k))
        return false;
    if (k->scanning)
        queue(k, scancode);
    return true;
}

static bool output_full(const struct kbd *k)
{
    return k->reply_full || keyboard_byte_ready(k);
}

bool kbd_irq(const struct kbd *k)
{
    return output_full(k) && (k->command_byte & COMMAND_IRQ);
}

uint8_t kbd_in(struct kbd *k, uint16_t port)
{
    if (port == 0x64)
        return k->status | (output_full(k) ? STATUS_OUTPUT : 0);
    if (k->reply_full) {
        k->output = k->reply;
        k->reply_full = false;
    } else if (keyboard_byte_ready(k)) {
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
        reply(k, k->command_byte);
        break;
    case 0x60: /* write the command byte */
    case 0xD1: /* write the output port */
    case 0xD2: /* write the output buffer */
    case 0xD3: /* the same as if from the mouse */
    case 0xD4: /* write to the mouse */
        k->pending_command = value;
        break;
    case 0xAA:
        reply(k, 0x55); /* self test passed */
        break;
    case 0xAB:
        reply(k, 0x00); /* interface test passed */
        break;
    case 0xAD:
        k->command_byte |= COMMAND_DISABLED;
        break;
    case 0xAE:
        k->command_byte &= (uint8_t)~COMMAND_DISABLED;
        break;
    case 0xD0:
        reply(k, k->output_port);
        break;
    default:
        /* 0xF0..0xFF pulse output lines that are zero in the low bits; line 0 is reset. */
        return value >= 0xF0 && !(value & 1);
    }
    return false;
}

/* A byte that the keyboard sends as one of set 2, as the controller passes it on. */
static uint8_t translated(const struct kbd *k, uint8_t raw, uint8_t in_set_1)
{
    return k->command_byte & COMMAND_TRANSLATE ? in_set_1 : raw;
}

/* The argument of ED (lights), F0 (scancode set; 0 asks for it) or F3 (repeat rate). */
static void keyboard_argument(struct kbd *k, uint8_t value)
{
    const bool set = k->keyboard_command == 0xF0;
    k->keyboard_command = 0;
    queue(k, set && value > 3 ? RESEND : ACK);
    if (set && value == 0)
        queue(k, translated(k, 0x02, 0x41));
}

/* F4 to F6 and FF forget what was typed before. */
static void restart(struct kbd *k, bool scanning)
{
    k->count = 0;
    k->scanning = scanning;
    queue(k, ACK);
}

/* A byte for the keyboard itself. */
static void keyboard_command(struct kbd *k, uint8_t value)
{
    switch (value) {
    case 0xED:
    case 0xF0:
    case 0xF3:
        k->keyboard_command = value;
        queue(k, ACK);
        break;
    case 0xEE:
        queue(k, 0xEE); /* echo */
        break;
    case 0xF2: /* identify */
        queue(k, ACK);
        queue(k, 0xAB);
        queue(k, translated(k, 0x83, 0x41));
        break;
    case 0xF4:
        restart(k, true);
        break;
    case 0xF5:
        restart(k, false);
        break;
    case 0xF6: /* defaults; scanning stays as it is */
        restart(k, k->scanning);
        break;
    case 0xFE:
        queue(k, k->output);
        break;
    case 0xFF:
        restart(k, true);
        queue(k, SELF_TEST_OK);
        break;
    default:
        queue(k, RESEND);
    }
}

/* Writing to the keyboard lets its clock run again. */
static void to_keyboard(struct kbd *k, uint8_t value)
{
    k->command_byte &= (uint8_t)~COMMAND_DISABLED;
    if (k->keyboard_command)
        keyboard_argument(k, value);
    else
        keyboard_command(k, value);
}

bool kbd_out(struct kbd *k, uint16_t port, uint8_t value)
{
    if (port == 0x64)
        return controller_command(k, value);
    k->status &= (uint8_t)~STATUS_COMMAND;
    const uint8_t command = k->pending_command;
    k->pending_command = 0;
    switch (command) {
    case 0:
        to_keyboard(k, value);
        break;
    case 0x60:
        k->command_byte = value;
        k->status &= (uint8_t)~STATUS_SYSTEM;
        k->status |= value & COMMAND_SYSTEM; /* the same bit in both */
        break;
    case 0xD1: /* the A20 gate is accepted; memory does not wrap here */
        k->output_port = value;
        return !(value & OUTPUT_NO_RESET);
    case 0xD2:
        reply(k, value);
        break;
    }
    return false;
}
