# The VMM: one ELF of all the modes. Adding a file to one of these folders is enough.
VMM_ELF := $(BUILD)/hypervisor/trivisor.elf
VMM_DIRS := hypervisor hypervisor/devices hypervisor/monitor trap-and-emulate paravirt hwassist hwassist/vmx hwassist/svm
VMM_CSRC := $(foreach d,$(VMM_DIRS),$(wildcard $(d)/*.c))
VMM_ASRC := $(foreach d,$(VMM_DIRS),$(wildcard $(d)/*.asm))
VMM_OBJ := $(VMM_CSRC:%.c=$(BUILD)/vmm/%.o) $(VMM_ASRC:%.asm=$(BUILD)/vmm/%.asm.o)
VMM_CFLAGS := -m32 -std=gnu11 -O2 -g -ffreestanding -nostdinc -isystem hypervisor/freestanding \
	-isystem $(shell gcc -m32 -print-file-name=include) \
	-fno-pic -fno-pie -fno-stack-protector -fcf-protection=none -fno-omit-frame-pointer \
	-fno-asynchronous-unwind-tables -mgeneral-regs-only -mno-red-zone -fno-common \
	-Wall -Wextra -Werror -Wmissing-prototypes -Wvla -MMD -MP \
	-Ihypervisor/include -Iparavirt/include

$(BUILD)/vmm/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@gcc $(VMM_CFLAGS) $(if $(filter hypervisor/monitor/%,$<),-Ihypervisor) $(if $(filter paravirt/%,$<),-Itrap-and-emulate) $(if $(filter hwassist/%,$<),-Ihwassist) -c $< -o $@

$(BUILD)/vmm/%.asm.o: %.asm $(BUILD)/gen/pv_abi.inc
	@mkdir -p $(@D)
	@echo "  NASM  $<"
	@nasm -f elf32 -g -F dwarf -Werror -I$(BUILD)/gen/ -Ihypervisor/include/ -I$(<D)/ -Itrap-and-emulate/ -MD $(@:.o=.d) -o $@ $<

# The plain constants of the PV ABI, for the assembler.
$(BUILD)/gen/pv_abi.inc: paravirt/include/pv_abi.h
	@mkdir -p $(@D)
	@sed -nE 's|^#define (PV_[A-Z0-9_]+) (-?[0-9a-fx]+).*|%define \1 \2|p' $< > $@

$(VMM_ELF): $(VMM_OBJ) hypervisor/trivisor.ld
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@gcc -m32 -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments \
		-Wl,-T,hypervisor/trivisor.ld -o $@ $(VMM_OBJ) -lgcc

-include $(VMM_OBJ:.o=.d)
