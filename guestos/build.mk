# Minnow: the kernel's ELF, and a disk image with the programs.
MINNOW_ELF := $(BUILD)/guestos/minnow.elf
MINNOW_CFLAGS := -m32 -std=gnu11 -O2 -g -ffreestanding -nostdinc -isystem $(shell gcc -m32 -print-file-name=include) \
	-fno-pic -fno-pie -fno-stack-protector -fcf-protection=none -fno-omit-frame-pointer \
	-fno-asynchronous-unwind-tables -mgeneral-regs-only -fno-common -Wall -Wextra -Werror \
	-Wmissing-prototypes -MMD -MP -Iguestos/include -Iparavirt/include
MINNOW_LINK := gcc -m32 -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=4096

MINNOW_KSRC := $(wildcard guestos/kernel/*.c)
MINNOW_KOBJ := $(MINNOW_KSRC:guestos/%.c=$(BUILD)/guestos/%.o) \
	$(BUILD)/guestos/kernel/boot.asm.o $(BUILD)/guestos/kernel/traps.asm.o
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

# A program may have a folder of its own name: what is in there belongs to it.
$(foreach name,$(MINNOW_PROGRAMS),$(eval $(BUILD)/guestos/bin/$(name): \
	$(patsubst guestos/%.c,$(BUILD)/guestos/%.o,$(wildcard guestos/user/$(name)/*.c))))

# The disk: the programs in /bin, and the files of guestos/disk.
MINNOW_IMAGE := $(BUILD)/guestos/minnow.img

$(MINNOW_IMAGE): $(MINNOW_PROGRAM_FILES) $(shell find guestos/disk -type f) $(BUILD)/tools/tv-mkfs
	@echo "  MKFS  $@"
	@rm -rf $(BUILD)/guestos/disk
	@cp -r guestos/disk $(BUILD)/guestos/disk
	@mkdir -p $(BUILD)/guestos/disk/bin
	@cp $(MINNOW_PROGRAM_FILES) $(BUILD)/guestos/disk/bin
	@$(BUILD)/tools/tv-mkfs --size 4032 $(BUILD)/guestos/disk $@

$(MINNOW_ELF): $(MINNOW_KOBJ) guestos/kernel/kernel.ld
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@$(MINNOW_LINK) -Wl,-T,guestos/kernel/kernel.ld -o $@ $(filter %.o,$^) -lgcc

.PRECIOUS: $(BUILD)/guestos/user/%.o $(BUILD)/guestos/%.asm.o
-include $(wildcard $(BUILD)/guestos/*/*.d $(BUILD)/guestos/user/*/*.d)
