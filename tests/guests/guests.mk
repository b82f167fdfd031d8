# Bare test guests: Multiboot kernels in assembly.
GUEST_ASM := $(wildcard tests/guests/*.asm) tests/bench/exits.asm tests/bench/pv_exits.asm
GUEST_ELF := $(GUEST_ASM:%.asm=$(BUILD)/%.elf)

$(GUEST_ELF): $(BUILD)/%.elf: %.asm $(wildcard tests/guests/*.inc tests/bench/*.inc) \
		tests/guests/guest.ld $(BUILD)/gen/pv_abi.inc
	@mkdir -p $(@D)
	@echo "  NASM  $<"
	@nasm -f elf32 -g -F dwarf -Werror -Itests/guests/ -Itests/bench/ -I$(BUILD)/gen/ -o $(@:.elf=.o) $<
	@ld -m elf_i386 -z noexecstack --no-warn-rwx-segments -T tests/guests/guest.ld -o $@ $(@:.elf=.o)
