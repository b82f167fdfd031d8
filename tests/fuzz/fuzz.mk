# Fuzzers, built by clang with its sanitizers. tests/fuzz/fuzz_NAME.c is one for libFuzzer; adding
# a file is enough. The comparison of the decoder with Zydis brings its own random cases, and so does
# that of the emulator with the CPU (tests/emulator).
N ?= 50000000
SEED ?= 1
# Warnings are GCC's business.
FUZZ_CFLAGS := $(filter-out -W% -fsanitize=% -fno-sanitize-recover=%,$(UNIT_CFLAGS)) -w \
	-fsanitize=address,undefined -fno-sanitize-recover=all -Itests/unit
FUZZ_PURE_OBJ := $(PURE_SRCS:%.c=$(BUILD)/fuzz/%.o) $(BUILD)/fuzz/tests/unit/support.o
FUZZ_ZYDIS_OBJ := $(addprefix $(BUILD)/fuzz/tests/unit/,decoder_zydis.o guest_code.o)
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

# What the fuzzers call leaves tracks of where it has been: libFuzzer looks for new ones.
$(BUILD)/fuzz/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC(fuzz) $<"
	@clang $(FUZZ_CFLAGS) $(if $(filter tests/unit/%,$<),,-fsanitize=fuzzer-no-link) -c $< -o $@

$(BUILD)/fuzz/libpure.a: $(FUZZ_PURE_OBJ)
	@rm -f $@
	@ar rcs $@ $^

$(BUILD)/fuzz/decoder-zydis: $(FUZZ_ZYDIS_OBJ) $(BUILD)/fuzz/libpure.a
	@echo "  LD(fuzz) $@"
	@clang -fsanitize=address,undefined -o $@ $^ -lZydis

$(FUZZERS): $(BUILD)/fuzz/%: $(BUILD)/fuzz/tests/fuzz/%.o $(BUILD)/fuzz/libpure.a
	@echo "  LD(fuzz) $@"
	@clang -fsanitize=address,undefined,fuzzer -o $@ $^

.PHONY: fuzz

fuzz: $(BUILD)/fuzz/decoder-zydis $(FUZZERS) $(MINNOW_ELF) $(VMM_ELF) $(EMUTEST) $(BUILD)/tools/tv-run
	@tests/fuzz/run.sh $(BUILD) $(N) $(SEED) $(notdir $(FUZZERS))

-include $(patsubst %.o,%.d,$(FUZZ_PURE_OBJ) $(FUZZ_ZYDIS_OBJ) $(FUZZERS:$(BUILD)/fuzz/%=$(BUILD)/fuzz/tests/fuzz/%.o))
