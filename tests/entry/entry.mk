# The test of the entry checker against the CPU (entry.h): a bare-metal program that holds the VMM's
# checks of VM entry and VMRUN, and its world switches.
ENTRYTEST := $(BUILD)/tests/entry/entry.elf
ENTRYTEST_OBJ := $(BUILD)/tests/emulator/start.o \
	$(patsubst tests/%.c,$(BUILD)/tests/%.o,$(wildcard tests/entry/*.c))
ENTRYTEST_VMM_OBJ := $(addprefix $(BUILD)/vmm/hypervisor/,print.o serial.o string.o) \
	$(patsubst %.c,$(BUILD)/vmm/%.o,$(wildcard hwassist/vmx/check*.c)) \
	$(addprefix $(BUILD)/vmm/hwassist/,vmx/capability.o vmx/enter.asm.o svm/check.o svm/capability.o \
	svm/enter.asm.o)

$(BUILD)/tests/entry/%.o: tests/entry/%.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	@gcc $(VMM_CFLAGS) -Wno-missing-field-initializers -Ihypervisor -Ihwassist -c $< -o $@

$(ENTRYTEST): $(ENTRYTEST_OBJ) $(ENTRYTEST_VMM_OBJ) tests/emulator/emulator.ld
	@echo "  LD    $@"
	@gcc -m32 -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,noexecstack \
		-Wl,--no-warn-rwx-segments -Wl,-T,tests/emulator/emulator.ld \
		-o $@ $(ENTRYTEST_OBJ) $(ENTRYTEST_VMM_OBJ) -lgcc

.PHONY: entry-check

# What the person gave, not what other targets take when nobody gives it.
given = $(if $(filter command environment,$(origin $1)),$($1))

entry-check: $(ENTRYTEST) $(BUILD)/tools/tv-entry
	@$(BUILD)/tools/tv-entry --emu='$(call given,EMU)' --cpu='$(CPU)' --cases='$(call given,N)' \
		--seed='$(call given,SEED)' --only='$(ONLY)'

-include $(ENTRYTEST_OBJ:.o=.d)
