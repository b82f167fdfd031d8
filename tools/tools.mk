# The host programs: tv-NAME is made of tools/tv-NAME.c, tools/lib/*.c, and pure code of the VMM: its
# reader of ELF files, and why guests leave the hardware modes.
TOOL_LIB := $(patsubst tools/lib/%.c,$(BUILD)/tools/lib/%.o,$(wildcard tools/lib/*.c)) \
	$(BUILD)/tools/hypervisor/elf.o $(BUILD)/tools/hwassist/svm/causes.o $(BUILD)/tools/hwassist/vmx/causes.o
TOOL_CFLAGS := -std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror -Itools -Iguestos/include \
	-Iparavirt/include -Ihypervisor/include -Ihwassist -MMD -MP
TOOL_LIBS := -lcjson -lutil -lm

$(BUILD)/tools/%.o: tools/%.c
	@mkdir -p $(@D)
	@echo "  HOSTCC $<"
	@gcc $(TOOL_CFLAGS) -c $< -o $@

$(BUILD)/tools/hypervisor/%.o: hypervisor/%.c
	@mkdir -p $(@D)
	@echo "  HOSTCC $<"
	@gcc $(TOOL_CFLAGS) -c $< -o $@

$(BUILD)/tools/hwassist/%.o: hwassist/%.c
	@mkdir -p $(@D)
	@echo "  HOSTCC $<"
	@gcc $(TOOL_CFLAGS) -c $< -o $@

$(BUILD)/tools/tv-%: $(BUILD)/tools/tv-%.o $(TOOL_LIB)
	@echo "  HOSTLD $@"
	@gcc -o $@ $^ $(TOOL_LIBS)

# The overhead report is a program of several files.
REPORT_OBJ := $(patsubst tools/overhead/%.c,$(BUILD)/tools/overhead/%.o,$(wildcard tools/overhead/*.c))

$(BUILD)/tools/tv-report: $(BUILD)/tools/tv-report.o $(REPORT_OBJ) $(TOOL_LIB)
	@echo "  HOSTLD $@"
	@gcc -o $@ $^ $(TOOL_LIBS) -lm

.PRECIOUS: $(BUILD)/tools/%.o
-include $(wildcard $(BUILD)/tools/*.d $(BUILD)/tools/lib/*.d $(BUILD)/tools/overhead/*.d $(BUILD)/tools/hypervisor/*.d $(BUILD)/tools/hwassist/*/*.d)
