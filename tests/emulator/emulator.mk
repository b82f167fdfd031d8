# The test of the emulator against the CPU (emutest.h): a bare-metal program that holds the VMM's
# own emulator, and the world switch of svm mode.
comma := ,
EMUTEST := $(BUILD)/tests/emulator/emulator.elf
EMUTEST_CSRC := $(wildcard tests/emulator/*.c)
EMUTEST_OBJ := $(BUILD)/tests/emulator/start.o $(EMUTEST_CSRC:tests/%.c=$(BUILD)/tests/%.o)
EMUTEST_VMM_OBJ := $(addprefix $(BUILD)/vmm/hypervisor/,$(addsuffix .o,decoder emulate emulate_far \
	emulate_io emulate_seg operands stack segments deliver gmem exits mmio features print serial \
	string)) $(addprefix $(BUILD)/vmm/hwassist/svm/,state.o enter.asm.o)
# The test looks at what the VMM's files ask of each other.
EMUTEST_WRAP := $(addprefix -Wl$(comma)--wrap=,segment_allows guest_read guest_write read_descriptor \
	guest_cpuid stack_push stack_room stack_pop stack_segment segment_touch gate_code_segment \
	descriptor_decode segment_real)

$(BUILD)/tests/emulator/%.o: tests/emulator/%.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@gcc $(VMM_CFLAGS) -Ihypervisor -Ihwassist -c $< -o $@

$(BUILD)/tests/emulator/start.o: tests/emulator/start.asm
	@mkdir -p $(@D)
	@echo "  NASM  $<"
	@nasm -f elf32 -g -F dwarf -Werror -o $@ $<

$(EMUTEST): $(EMUTEST_OBJ) $(EMUTEST_VMM_OBJ) tests/emulator/emulator.ld
	@echo "  LD    $@"
	@gcc -m32 -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack \
		-Wl,--no-warn-rwx-segments $(EMUTEST_WRAP) -Wl,-T,tests/emulator/emulator.ld \
		-o $@ $(EMUTEST_OBJ) $(EMUTEST_VMM_OBJ) -lgcc

-include $(EMUTEST_OBJ:.o=.d)
