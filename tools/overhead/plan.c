#include "overhead/plan.h"

#include <string.h>

/* The order is that of the columns. */
const struct plan_config plan_configs[] = {
    {EMU_QEMU, "native", MODE_NATIVE, NULL, VIRTIO_USUAL, false, true, "the bare machine"},
    {EMU_QEMU, "trap", MODE_TRAP, NULL, VIRTIO_USUAL, false, true, "full virtualization, ATA disk"},
    {EMU_QEMU, "para", MODE_PARA, NULL, VIRTIO_USUAL, false, true,
     "paravirtualization, virtio disk"},
    {EMU_QEMU, "svm", MODE_SVM, NULL, VIRTIO_USUAL, false, true, "nested paging, ATA disk"},
    {EMU_QEMU, "svm-shadow", MODE_SVM, "paging=shadow", VIRTIO_USUAL, false, false,
     "shadow paging, ATA disk"},
    {EMU_QEMU, "svm+virtio", MODE_SVM, NULL, VIRTIO_ON, false, true,
     "the hybrid: nested paging, virtio disk"},
    {EMU_QEMU, "trap+virtio", MODE_TRAP, NULL, VIRTIO_ON, true, false,
     "full virtualization, virtio disk"},
    {EMU_QEMU, "para+ata", MODE_PARA, NULL, VIRTIO_OFF, true, false,
     "paravirtualization, ATA disk"},
    {EMU_BOCHS, "native", MODE_NATIVE, NULL, VIRTIO_USUAL, false, false, "the bare machine"},
    {EMU_BOCHS, "trap", MODE_TRAP, NULL, VIRTIO_USUAL, false, false,
     "full virtualization, ATA disk"},
    {EMU_BOCHS, "para", MODE_PARA, NULL, VIRTIO_USUAL, false, false,
     "paravirtualization, virtio disk"},
    {EMU_BOCHS, "vtx", MODE_VTX, NULL, VIRTIO_USUAL, false, false, "EPT, ATA disk"},
    {EMU_BOCHS, "vtx-shadow", MODE_VTX, "paging=shadow", VIRTIO_USUAL, false, false,
     "shadow paging, ATA disk"},
    {EMU_BOCHS, "vtx+virtio", MODE_VTX, NULL, VIRTIO_ON, false, false,
     "the hybrid: EPT, virtio disk"},
    {EMU_BOCHS, "svm", MODE_SVM, NULL, VIRTIO_USUAL, false, false, "nested paging, ATA disk"},
    {EMU_BOCHS, "trap+virtio", MODE_TRAP, NULL, VIRTIO_ON, true, false,
     "full virtualization, virtio disk"},
    {EMU_BOCHS, "para+ata", MODE_PARA, NULL, VIRTIO_OFF, true, false,
     "paravirtualization, ATA disk"},
};
const int plan_config_count = sizeof(plan_configs) / sizeof(plan_configs[0]);

/* "empty" first: what measuring itself costs is taken away from all others. */
const struct plan_op plan_ops[] = {
    {"empty", OP_NANO, true, false, "what measuring itself costs"},
    {"null-syscall", OP_NANO, true, false, "a system call that does next to nothing"},
    {"port-io", OP_NANO, true, false, "the kernel reads a port"},
    {"cr-write", OP_NANO, true, false, "the kernel writes CR0"},
    {"call-ret", OP_NANO, true, false, "the kernel calls and returns"},
    {"page-fault", OP_NANO, true, false, "first touch of a page of the heap"},
    {"divide-error", OP_NANO, true, false, "an exception that the program handles"},
    {"pte-mod", OP_NANO, true, false, "the kernel changes a page table entry"},
    {"cli-sti", OP_NANO, true, false, "the kernel disables, enables interrupts"},
    {"cr3-reload", OP_NANO, false, false, "the kernel writes CR3, a new address space"},
    {"context-switch", OP_KERNEL, true, false, "to another process, by a byte in a pipe"},
    {"fork-exec-wait", OP_KERNEL, false, false, "a child becomes a program and ends"},
    {"compute", OP_PROGRAM, true, true, "a step of arithmetic in a program"},
    {"compute-kernel", OP_PROGRAM, false, true, "the same in the kernel"},
    {"fork-storm", OP_PROGRAM, false, false, "16 children at once become programs and end"},
    {"pipe-throughput", OP_PROGRAM, true, false, "512 bytes through a pipe"},
    {"compile", OP_DISK, false, false, "33 files written, read, removed"},
    {"disk-seq-write", OP_DISK, false, false, "4 KB of a file of 512 KB written in order, synced"},
    {"disk-seq-read", OP_DISK, false, false, "4 KB of it read in order"},
    {"disk-rand-read", OP_DISK, false, false, "1 KB read anywhere in it"},
    {"disk-rand-write", OP_DISK, false, false, "1 KB written anywhere in it, synced"},
    {"disk-driver", OP_DISK, true, false, "one request of the disk driver: 32 KB read"},
};
const int plan_op_count = sizeof(plan_ops) / sizeof(plan_ops[0]);

const struct plan_op *plan_op(const char *name)
{
    for (int i = 0; i < plan_op_count; i++) {
        if (!strcmp(plan_ops[i].name, name))
            return &plan_ops[i];
    }
    return NULL;
}

bool plan_repeats(const struct plan_config *config, const struct plan_op *op)
{
    return config->mode != MODE_NATIVE || config->emu != EMU_QEMU ||
           (op->class != OP_DISK && !op->whole);
}

bool plan_measured(const struct plan_config *config, const struct plan_op *op, bool quick)
{
    if (quick && !(config->quick && op->quick))
        return false;
    if (config->disk_only && op->class != OP_DISK && strcmp(op->name, "empty"))
        return false;
    return plan_repeats(config, op);
}

bool plan_virtio(const struct plan_config *config)
{
    return config->virtio == VIRTIO_ON ||
           (config->virtio == VIRTIO_USUAL && config->mode == MODE_PARA);
}

const struct plan_config *plan_config(enum emu_kind emu, const char *name)
{
    for (int i = 0; i < plan_config_count; i++) {
        if (plan_configs[i].emu == emu && !strcmp(plan_configs[i].name, name))
            return &plan_configs[i];
    }
    return NULL;
}

const char *plan_hardware(enum emu_kind emu)
{
    return emu == EMU_BOCHS ? "vtx" : "svm";
}
