# Programs that measure pure code on the host. They pass no judgement.
BENCH_SRCS := tests/bench/decoder_speed.c tests/unit/guest_code.c tests/unit/support.c \
	hypervisor/decoder.c trap-and-emulate/scanner.c hypervisor/elf.c hypervisor/multiboot.c
BENCH := $(BUILD)/tests/decoder-speed

# Optimised as Debian's Zydis is, and as the VMM is. Sections: what measures needs only some
# functions of a file.
$(BENCH): $(BENCH_SRCS) $(wildcard hypervisor/*.h hypervisor/include/*.h trap-and-emulate/*.h tests/unit/*.h)
	@mkdir -p $(@D)
	@echo "  CC(bench) $@"
	@gcc -std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Werror -ffunction-sections -Wl,--gc-sections \
		-Ihypervisor/include -Iparavirt/include -Ihypervisor -Itrap-and-emulate -Itests/unit \
		-o $@ $(BENCH_SRCS) -lZydis

.PHONY: bench-decoder

bench-decoder: $(BENCH) $(MINNOW_ELF) $(VMM_ELF)
	@$(BENCH) $(MINNOW_ELF) $(VMM_ELF)

# What exits cost: a bare guest on emulated machines. Missed targets are marked, and are no error.
.PHONY: bench-exits

bench-exits: all $(BUILD)/tests/bench/exits.elf $(BUILD)/tests/bench/pv_exits.elf $(BUILD)/tools/tv-bench-exits $(BUILD)/tools/tv-bench-trace
ifeq ($(TRACE),on)
	@$(BUILD)/tools/tv-bench-trace --mode='$(MODE)'
else
	@$(BUILD)/tools/tv-bench-exits --mode='$(MODE)' --opts='$(OPTS)'
endif
