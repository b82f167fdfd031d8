/* The VGA's text-mode registers, as far as a text console uses them: the CRT controller's index and
 * data (cursor), and latches for the rest (IBM PS/2 technical reference, video subsystem). */
#include "models.h"

#define CURSOR_HIGH 0x0E
#define CURSOR_LOW 0x0F

void vga_init(struct vga *v)
{
    *v = (struct vga){0};
}

uint16_t vga_cursor(const struct vga *v)
{
    return (uint16_t)(v->crtc[CURSOR_HIGH] << 8 | v->crtc[CURSOR_LOW]);
}

uint8_t vga_in(struct vga *v, uint16_t port)
{
    switch (port) {
    case 0x3D4:
        return v->crtc_index;
    case 0x3D5:
        return v->crtc_index < sizeof(v->crtc) ? v->crtc[v->crtc_index] : 0xFF;
    case 0x3DA:
        v->misc_status ^= 0x09; /* the retrace bits change at every look */
        v->attr_flipflop = false;
        return v->misc_status;
    case 0x3CC:
        return 0x67; /* colour, at 0x3Dx */
    default:
        return 0;
    }
}

bool vga_out(struct vga *v, uint16_t port, uint8_t value)
{
    if (port == 0x3D4) {
        v->crtc_index = value;
    } else if (port == 0x3C0) {
        v->attr_flipflop = !v->attr_flipflop;
    } else if (port == 0x3D5 && v->crtc_index < sizeof(v->crtc)) {
        v->crtc[v->crtc_index] = value;
        return v->crtc_index == CURSOR_HIGH || v->crtc_index == CURSOR_LOW;
    }
    return false;
}
