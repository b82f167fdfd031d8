/* A virtual machine: its memory map, how it starts and how it ends. */
#include <stdarg.h>

#include "vm.h"
#include "vmm.h"

bool vm_gpa_to_hpa(const struct vm *vm, gpa_t gpa, hpa_t *hpa)
{
    gpa &= PAGE_MASK;
    if (gpa < ISA_HOLE || (gpa >= ISA_HOLE_END && gpa < vm->ram_size)) {
        *hpa = vm->ram_hpa + gpa;
        return true;
    }
    if (gpa >= VGA_TEXT_GPA && gpa < VGA_TEXT_GPA + VGA_TEXT_SIZE) {
        *hpa = vm->vga_hpa + (gpa - VGA_TEXT_GPA);
        return true;
    }
    return false;
}

void vm_kill(struct vm *vm, const char *fmt, ...)
{
    static char reason[320];
    va_list ap;
    if (vm->stop_reason)
        return;
    va_start(ap, fmt);
    kvsnprintf(reason, sizeof(reason), fmt, ap);
    va_end(ap);
    vm->stopped = true;
    vm->exit_status = VM_STATUS_KILLED;
    vm->stop_reason = reason;
}
