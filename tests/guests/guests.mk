# Bare test guests: Multiboot kernels in assembly.
GUEST_ASM := $(wildcard tests/guests/*.asm) tests/bench/exits.asm
GUEST_ELF := $(GUEST_ASM:%.asm=$(BUILD)/%.elf)

$(GUEST_ELF): $(BUILD)/%.elf: %.asm $(wildcard tests/guests/*.inc) tests/guests/guest.ld
	@mkdir -p $(@D)
	@echo "  NASM  $<"
	@nasm -f elf32 -g -F dwarf -Werror -Itests/guests/ -o $(@:.elf=.o) $<
	@ld -m elf_i386 -z noexecstack --no-warn-rwx-segments -T tests/guests/guest.ld -o $@ $(@:.elf=.o)
