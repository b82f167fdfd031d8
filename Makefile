# Trivisor's front door. `make help` lists the targets.
#
# make runs this file twice: the first pass installs what is missing (tools/install-deps.sh), the
# second one (READY=1) builds; the build rules ask the compiler questions as they are read.

BUILD ?= build
MODE ?= trap
EMU ?= qemu
SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DEFAULT_GOAL := help

ifndef READY

JOBS := $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
READY_TARGETS := all demo test unit powercut system fuzz bench-decoder bench-exits exits-list sites ablation run \
	debug iso ladder probe entry-check trace trace-view-check report report-repeat

.PHONY: help deps $(READY_TARGETS) format format-check readme stats clean FORCE

help:
	@echo "Trivisor: one small hypervisor, three ways to virtualize, measured side by side."
	@echo
	@sed -nE 's/^#: ([^:]*): (.*)/  \1\t\2/p' Makefile | expand -t 34
	@echo
	@echo "  MODE is native, trap, para, vtx or svm; EMU is qemu or bochs."

deps:
	@tools/install-deps.sh --quiet $(if $(filter fuzz,$(MAKECMDGOALS)),--fuzz) \
		$(if $(filter report report-repeat,$(MAKECMDGOALS)),--report)

# What boots is cached by content in build/iso and build/boot; that of old builds is of no use.
$(READY_TARGETS): deps
	@find $(BUILD)/iso $(BUILD)/boot -type f -mmin +60 -delete 2>/dev/null || true
	@find $(BUILD)/boot -mindepth 1 -type d -empty -delete 2>/dev/null || true
	@$(MAKE) --no-print-directory $(JOBS) READY=1 $@

$(BUILD)/%: FORCE
	@$(MAKE) --no-print-directory $(JOBS) READY=1 $@

format:
	@find hypervisor trap-and-emulate paravirt hwassist guestos tools tests labs -name '*.[ch]' 2>/dev/null | \
		xargs clang-format -i

format-check:
	@tests/format.sh

readme: demo $(addprefix $(BUILD)/tools/,tv-run tv-sites tv-ablation tv-ladder)
	@tools/update-readme.sh

stats:
	@tools/stats.sh

clean:
	@rm -rf $(BUILD)

else

all: $(BUILD)/hypervisor/trivisor.elf $(BUILD)/guestos/minnow.elf $(BUILD)/guestos/minnow.img

-include hypervisor/build.mk
-include guestos/build.mk
include tools/tools.mk
include tools/probe/probe.mk
include tests/tests.mk
include tests/bench/bench.mk
include tests/fuzz/fuzz.mk

.PHONY: all demo run debug iso sites ablation ladder exits-list trace trace-view-check report report-repeat

demo: all $(BUILD)/tools/tv-demo
	@$(BUILD)/tools/tv-demo

run: all $(BUILD)/tools/tv-run
	@$(BUILD)/tools/tv-run --emu='$(EMU)' --mode='$(MODE)' --run='$(RUN)' --opts='$(OPTS)' \
		--mem='$(MEM)' --cpu='$(CPU)' --disk='$(DISK)' --virtio='$(VIRTIO)' --snapshot='$(SNAPSHOT)' --timeout='$(TIMEOUT)'

debug: all $(BUILD)/tools/tv-debug
	@$(BUILD)/tools/tv-debug --emu='$(EMU)' --mode='$(MODE)' --run='$(RUN)' --opts='$(OPTS)'

sites: all $(BUILD)/tools/tv-sites
	@$(BUILD)/tools/tv-sites --emu='$(EMU)' --run='$(RUN)' --by='$(BY)' --without='$(WITHOUT)' \
		--json='$(JSON)'

ablation: all $(BUILD)/tools/tv-ablation
	@$(BUILD)/tools/tv-ablation --emu='$(EMU)' --workloads='$(WORKLOADS)' --without='$(WITHOUT)' \
		--json='$(JSON)' --csv='$(CSV)'

ladder: all $(BUILD)/tools/tv-ladder
	@$(BUILD)/tools/tv-ladder --models='$(MODELS)' --opts='$(OPTS)' --json='$(JSON)'

trace: all $(BUILD)/tools/tv-trace
	@$(BUILD)/tools/tv-trace --emu='$(EMU)' --mode='$(MODE)' --run='$(RUN)' --opts='$(OPTS)' --out='$(OUT)'

trace-view-check: all $(BUILD)/tools/tv-trace
	@BUILD=$(BUILD) tests/speedscope.sh

# The page is looked at strictly: as XML, which it is too, and as HTML.
report: all $(BUILD)/tools/tv-report $(BUILD)/tools/tv-ablation
	@$(BUILD)/tools/tv-report $(if $(QUICK),--quick) --emu='$(if $(filter command environment,$(origin EMU)),$(EMU))'
	@xmllint --noout $(BUILD)/report/index.html
	@tidy -errors -quiet $(BUILD)/report/index.html

report-repeat: report
	@$(BUILD)/tools/tv-report $(if $(QUICK),--quick) --emu='$(if $(filter command environment,$(origin EMU)),$(EMU))' \
		--out=$(BUILD)/report/again --check=$(BUILD)/report/report.json

exits-list: $(BUILD)/tools/tv-exits-list
	@$(BUILD)/tools/tv-exits-list $(if $(filter command environment,$(origin MODE)),'$(MODE)')

iso: all $(BUILD)/tools/tv-iso $(PROBE_ELF)
	@$(BUILD)/tools/tv-iso $(BUILD)/trivisor.iso

endif

# What `make help` prints:
#: make demo: every mode in both emulators, measured; tables in build/report/ (about a minute)
#: make test: all tests: unit, structure, format, system; ends with "N passed, N failed"
#: make run MODE=.. EMU=..: Minnow's shell on this terminal; RUN=prog,arg;prog2 OPTS= MEM= CPU= DISK= VIRTIO=on|off TIMEOUT= SNAPSHOT=FILE
#: make debug MODE=.. EMU=..: the same under gdb (QEMU) or Bochs' own debugger
#: make iso: build/trivisor.iso, a boot image with a menu of all modes
#: make sites EMU=.. RUN=..: what mode para patches in the guest, and how often each site runs; BY=address WITHOUT= JSON=
#: make ablation EMU=..: what each mechanism of mode para is worth (two minutes); WORKLOADS= WITHOUT= JSON= CSV=
#: make report: all modes against native, against published figures and claims: build/report/index.html, JSON, CSV (three minutes); QUICK=1: a part; EMU=
#: make report-repeat: the same twice; every figure must repeat to the last digit
#: make ladder: Minnow's tests and benchmarks on every CPU with VT-x or AMD-V that Bochs models (four minutes); MODELS= OPTS= JSON=
#: make all: build the VMM and the guest only
#: make unit: the unit tests only
#: make system: the system tests only; ONLY=text runs those with text in their name; LONG=1: all of them
#: make powercut: cut the power at every write of a workload, make the disk fail; LONG=1: more of it
#: make fuzz N=.. SEED=..: compare the decoder with Zydis on N random strings (50 million), the emulator with the CPU on N/50 cases (Bochs: N/500), and run all fuzzers (virtio: a fifth of N)
#: make entry-check EMU=.. CPU=.. N=.. SEED=..: the checker of VM entries against the CPUs: named ways and N random ones to break a VMCS or VMCB; a table by rule
#: make bench-decoder: speed of the decoder and the scanner on the host, next to Zydis
#: make trace MODE=.. EMU=.. RUN=..: every exit of a run with time, address and duration, for Perfetto, speedscope and flame graphs; OUT= OPTS=trace=drop
#: make trace-view-check: load traces into speedscope in a browser (installs it below build/; needs npm and chromium)
#: make bench-exits: what one exit of mode trap costs, next to its target; MODE=para or another mode; TRACE=on: what recording it costs
#: make exits-list MODE=svm|vtx: why a guest leaves a hardware mode: all causes, each with its reason
#: make probe EMU=.. CPU=..: execute every sensitive instruction at every privilege level; the classes of Popek and Goldberg, derived; ALL=1: QEMU and every CPU of Bochs (takes long); CONFIG=UMIP JSON=
#: make deps: install the Debian packages that are missing
#: make format: let clang-format rewrite the sources
#: make format-check: say which sources clang-format would change
#: make readme: measure again what README.md shows, and put it there (ten minutes)
#: make stats: lines of code by part
#: make clean: remove build/
