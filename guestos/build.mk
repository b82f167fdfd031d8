# Minnow: one ELF that holds the kernel and all programs.
MINNOW_ELF := $(BUILD)/guestos/minnow.elf
MINNOW_CFLAGS := -m32 -std=gnu11 -O2 -g -ffreestanding -nostdinc -isystem $(shell gcc -m32 -print-file-name=include) \
	-fno-pic -fno-pie -fno-stack-protector -fcf-protection=none -fno-omit-frame-pointer \
	-fno-asynchronous-unwind-tables -mgeneral-regs-only -fno-common -Wall -Wextra -Werror \
	-Wmissing-prototypes -MMD -MP -Iguestos/include -Iparavirt/include
MINNOW_LINK := gcc -m32 -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=4096

MINNOW_KSRC := $(wildcard guestos/kernel/*.c)
MINNOW_KOBJ := $(MINNOW_KSRC:guestos/%.c=$(BUILD)/guestos/%.o) \
	$(BUILD)/guestos/kernel/boot.asm.o $(BUILD)/guestos/kernel/traps.asm.o \
	$(BUILD)/guestos/archive_data.asm.o
MINNOW_PROGRAMS := $(sort $(patsubst guestos/user/%.c,%,$(filter-out guestos/user/lib.c,$(wildcard guestos/user/*.c))))
MINNOW_PROGRAM_FILES := $(MINNOW_PROGRAMS:%=$(BUILD)/guestos/bin/%)

$(BUILD)/guestos/kernel/%.o: guestos/kernel/%.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@gcc $(MINNOW_CFLAGS) -Iguestos/kernel -c $< -o $@

$(BUILD)/guestos/user/%.o: guestos/user/%.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@gcc $(MINNOW_CFLAGS) -fno-builtin -Iguestos/user -c $< -o $@

$(BUILD)/guestos/%.asm.o: guestos/%.asm $(BUILD)/gen/pv_abi.inc
	@mkdir -p $(@D)
	@echo "  NASM  $<"
	@nasm -f elf32 -g -F dwarf -Werror -I$(BUILD)/gen/ -o $@ $<

$(BUILD)/guestos/bin/%: $(BUILD)/guestos/user/%.o $(BUILD)/guestos/user/lib.o $(BUILD)/guestos/user/start.asm.o guestos/user/program.ld
	@mkdir -p $(@D)
	@$(MINNOW_LINK) -Wl,-T,guestos/user/program.ld -o $@.full $(filter %.o,$^)
	@objcopy --strip-all $@.full $@

# The archive: each program between two labels, and a table of them.
$(BUILD)/guestos/archive_data.asm: $(MINNOW_PROGRAM_FILES)
	@{ echo 'global archive, archive_count'; echo 'section .rodata align=16'; \
	for p in $(MINNOW_PROGRAMS); do \
		printf 'align 16\n%s_start: incbin "$(BUILD)/guestos/bin/%s"\n%s_end:\n%s_name: db "%s", 0\n' p_$$p $$p p_$$p p_$$p $$p; \
	done; echo 'align 4'; echo 'archive:'; \
	for p in $(MINNOW_PROGRAMS); do echo "dd p_$${p}_name, p_$${p}_start, p_$${p}_end"; done; \
	echo 'archive_count: dd $(words $(MINNOW_PROGRAMS))'; } > $@

$(BUILD)/guestos/archive_data.asm.o: $(BUILD)/guestos/archive_data.asm
	@nasm -f elf32 -o $@ $<

$(MINNOW_ELF): $(MINNOW_KOBJ) guestos/kernel/kernel.ld
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(MINNOW_LINK) -Wl,-T,guestos/kernel/kernel.ld -o $@ $(filter %.o,$^) -lgcc

.SECONDARY:
-include $(wildcard $(BUILD)/guestos/*/*.d)
