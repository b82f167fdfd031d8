# The prober of the instruction set: a bare-metal program, for the first Pentium and all later CPUs,
# and the host program that runs it and judges what it wrote.
PROBE_ELF := $(BUILD)/tools/probe/bare/probe.elf
PROBE_CFLAGS = $(VMM_CFLAGS) -march=i586 -Wno-missing-field-initializers -Ihypervisor
PROBE_BARE_OBJ := $(patsubst tools/%.c,$(BUILD)/bare/%.o,$(wildcard tools/probe/bare/*.c)) \
	$(addprefix $(BUILD)/bare/hypervisor/,print.o serial.o string.o) $(BUILD)/bare/probe/bare/start.o

$(BUILD)/bare/probe/%.o: tools/probe/%.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@gcc $(PROBE_CFLAGS) -c $< -o $@

$(BUILD)/bare/hypervisor/%.o: hypervisor/%.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@gcc $(PROBE_CFLAGS) -c $< -o $@

$(BUILD)/bare/probe/bare/start.o: tools/probe/bare/start.asm
	@mkdir -p $(@D)
	@echo "  NASM  $<"
	@nasm -f elf32 -g -F dwarf -Werror -o $@ $<

$(PROBE_ELF): $(PROBE_BARE_OBJ) tools/probe/bare/probe.ld
	@mkdir -p $(@D)
	@echo "  LD    $@"
	@gcc -m32 -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack \
		-Wl,--no-warn-rwx-segments -Wl,-T,tools/probe/bare/probe.ld -o $@ $(PROBE_BARE_OBJ) -lgcc

-include $(PROBE_BARE_OBJ:.o=.d)

PROBE_OBJ := $(patsubst tools/%.c,$(BUILD)/tools/%.o,$(wildcard tools/probe/*.c)) \
	$(BUILD)/tools/hypervisor/decoder.o

$(BUILD)/tools/tv-probe: $(BUILD)/tools/tv-probe.o $(PROBE_OBJ) $(TOOL_LIB)
	@echo "  HOSTLD $@"
	@gcc -o $@ $^ $(TOOL_LIBS)

.PHONY: probe

probe: $(PROBE_ELF) $(BUILD)/tools/tv-probe
	@$(BUILD)/tools/tv-probe $(if $(ALL),--all,--emu='$(EMU)' --cpu='$(CPU)' --config='$(CONFIG)') --json='$(JSON)'

-include $(PROBE_OBJ:.o=.d)
