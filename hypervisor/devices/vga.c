/* The VGA's text-mode registers, as far as a text console uses them: the CRT controller's index and
 * data (cursor), and latches for the rest (IBM PS/2 technical reference, video subsystem). */
#include "models.h"

#define ATTRIBUTE_PORT 0x3C0 /* the first of the latches */
#define MISC_WRITE 0x3C2
#define MISC_READ 0x3CC
#define CRTC_INDEX 0x3D4
#define CRTC_DATA 0x3D5
#define STATUS_1 0x3DA
#define CURSOR_HIGH 0x0E
#define CURSOR_LOW 0x0F
#define RETRACE 0x09   /* display disabled, and the vertical one */
#define MISC_TEXT 0x67 /* colour, that is at 0x3D4; 720 dots; memory on */

void vga_init(struct vga *v)
{
    *v = (struct vga){.latch[MISC_WRITE - ATTRIBUTE_PORT] = MISC_TEXT};
}

uint16_t vga_cursor(const struct vga *v)
{
    return (uint16_t)(v->crtc[CURSOR_HIGH] << 8 | v->crtc[CURSOR_LOW]);
}

uint8_t vga_in(struct vga *v, uint16_t port)
{
    switch (port) {
    case CRTC_INDEX:
        return v->crtc_index;
    case CRTC_DATA:
        return v->crtc_index < sizeof(v->crtc) ? v->crtc[v->crtc_index] : 0xFF;
    case STATUS_1:
        v->status ^= RETRACE; /* changes at every look, so that nobody waits for long */
        return v->status;
    case MISC_READ:
        return v->latch[MISC_WRITE - ATTRIBUTE_PORT];
    default:
        return v->latch[port & 15];
    }
}

bool vga_out(struct vga *v, uint16_t port, uint8_t value)
{
    switch (port) {
    case CRTC_INDEX:
        v->crtc_index = value;
        return false;
    case CRTC_DATA:
        if (v->crtc_index >= sizeof(v->crtc))
            return false;
        v->crtc[v->crtc_index] = value;
        return v->crtc_index == CURSOR_HIGH || v->crtc_index == CURSOR_LOW;
    case STATUS_1: /* feature control */
        return false;
    default:
        v->latch[port & 15] = value;
        return false;
    }
}
