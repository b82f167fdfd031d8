# The tests. Pure sources, those without inline assembly and without the host's services, are
# compiled for the host, with sanitizers, and linked with the Criterion tests of tests/unit/.

PURE_SRCS := $(wildcard $(addprefix hypervisor/,decoder.c deliver.c emulate*.c operands.c segments.c \
	snapshot_*.c stack.c gmem.c multiboot.c elf.c vcpu_reset.c options.c vm.c devices/*.c) \
	hypervisor/shadow.c hypervisor/shadow_show.c $(addprefix hypervisor/monitor/,line.c words.c sink.c pte_words.c) trap-and-emulate/scanner.c paravirt/patcher.c paravirt/halfway.c paravirt/hypercalls.c hwassist/tables.c \
	$(wildcard hwassist/vmx/check*.c) \
	$(addprefix hwassist/vmx/,causes.c event.c negotiate.c qualification.c) \
	$(addprefix hwassist/svm/,causes.c check.c) \
	$(addprefix tools/lib/,minnowfs.c minnowfs_make.c trace_read.c trace_write.c trace_sums.c util.c) \
	$(addprefix tools/probe/,records.c derive.c known.c manual.c bare/catalogue.c) \
	$(addprefix tools/overhead/,figures.c plan.c published.c model.c claims.c table.c plot_element.c))
PURE_OBJ := $(PURE_SRCS:%.c=$(BUILD)/unit/%.o)
UNIT_OBJ := $(patsubst %.c,$(BUILD)/unit/%.o,$(wildcard tests/unit/test_*.c tests/unit/support.c) \
	tests/fuzz/fuzz_hypercalls.c)
UNIT_CFLAGS := -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Werror -MMD -MP \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined \
	-Ihypervisor/include -Iparavirt/include -Ihypervisor -Ihypervisor/devices -Itrap-and-emulate \
	-Iparavirt -Ihwassist -Itools -Iguestos/include
SYSTEST_OBJ := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/system/*.c))
SYSTEST := $(BUILD)/tests/tv-systest
ZYDIS_OBJ := $(addprefix $(BUILD)/unit/tests/unit/,decoder_zydis.o guest_code.o support.o)
ZYDIS := $(BUILD)/tests/decoder-zydis
SITES_OBJ := $(addprefix $(BUILD)/unit/tests/unit/,guest_sites.o guest_code.o support.o)
SITES := $(BUILD)/tests/guest-sites
FUZZ_VIRTIO_OBJ := $(addprefix $(BUILD)/unit/tests/fuzz/,fuzz_virtio.o random_main.o)
FUZZ_VIRTIO := $(BUILD)/tests/fuzz-virtio
SITES_INPUT := $(MINNOW_ELF) $(MINNOW_PROGRAM_FILES)
TEST_TOOLS := $(addprefix $(BUILD)/tools/,tv-run tv-fsck tv-powercut tv-sites tv-ablation tv-ladder \
	tv-entry tv-exits-list tv-trace tv-report tv-probe)

include tests/guests/guests.mk
include tests/emulator/emulator.mk
include tests/entry/entry.mk

$(BUILD)/unit/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC(unit) $<"
	@gcc $(UNIT_CFLAGS) -c $< -o $@

# An archive, so that a test may bring its own version of what the code under test calls.
$(BUILD)/tests/libpure.a: $(PURE_OBJ)
	@mkdir -p $(@D)
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/tests/unit: $(UNIT_OBJ) $(BUILD)/tests/libpure.a
	@mkdir -p $(@D)
	@echo "  LD(unit) $@"
	@gcc -fsanitize=address,undefined -o $@ $^ -lcriterion -lcjson -lm

$(BUILD)/tests/decoder-zydis: $(ZYDIS_OBJ) $(BUILD)/tests/libpure.a
	@mkdir -p $(@D)
	@echo "  LD(unit) $@"
	@gcc -fsanitize=address,undefined -o $@ $^ -lZydis

$(BUILD)/tests/guest-sites: $(SITES_OBJ) $(BUILD)/tests/libpure.a
	@mkdir -p $(@D)
	@echo "  LD(unit) $@"
	@gcc -fsanitize=address,undefined -o $@ $^ -lZydis

$(FUZZ_VIRTIO_OBJ): UNIT_CFLAGS += -Itests/unit

$(FUZZ_VIRTIO): $(FUZZ_VIRTIO_OBJ) $(BUILD)/tests/libpure.a
	@mkdir -p $(@D)
	@echo "  LD(unit) $@"
	@gcc -fsanitize=address,undefined -o $@ $^

$(BUILD)/tests/system/%.o: tests/system/%.c
	@mkdir -p $(@D)
	@echo "  HOSTCC $<"
	@gcc $(TOOL_CFLAGS) -Itests/system -c $< -o $@

$(SYSTEST): $(SYSTEST_OBJ) $(TOOL_LIB)
	@echo "  HOSTLD $@"
	@gcc -o $@ $^ $(TOOL_LIBS)

.PHONY: test unit system powercut

test: all $(BUILD)/tests/unit $(ZYDIS) $(FUZZ_VIRTIO) $(SITES) $(SITES_INPUT) $(SYSTEST) $(TEST_TOOLS) $(GUEST_ELF) $(EMUTEST) $(ENTRYTEST) $(PROBE_ELF) $(BUILD)/tests/decoder-speed
	@tests/run.sh $(BUILD) unit zydis virtio sites structure format powercut diskerrors system

unit: $(BUILD)/tests/unit $(ZYDIS) $(FUZZ_VIRTIO) $(SITES) $(SITES_INPUT)
	@tests/run.sh $(BUILD) unit zydis virtio sites

powercut: all $(TEST_TOOLS)
	@LONG='$(LONG)' tests/run.sh $(BUILD) powercut diskerrors

system: all $(SYSTEST) $(TEST_TOOLS) $(GUEST_ELF) $(EMUTEST) $(ENTRYTEST) $(PROBE_ELF)
	@ONLY='$(ONLY)' LONG='$(LONG)' tests/run.sh $(BUILD) system

-include $(wildcard $(UNIT_OBJ:.o=.d) $(PURE_OBJ:.o=.d) $(SYSTEST_OBJ:.o=.d) $(SITES_OBJ:.o=.d) $(ZYDIS_OBJ:.o=.d) $(FUZZ_VIRTIO_OBJ:.o=.d))
