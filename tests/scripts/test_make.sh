#!/usr/bin/env bash
# The Makefile's promises about what is built when, in a copy of the tree.
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
git ls-files -z --cached --others --exclude-standard | xargs -0 cp --parents -t "$folder" 2>/dev/null
cd "$folder" || exit 1
# A choice of tests that the one who asked has made is for him only.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES TEST

a_deleted_migration_is_noticed() {
  local target=build/release/gen/services/item/migrations.c down said
  make "$target" >make.log 2>&1 || fail "the migrations do not build: $(cat make.log)"
  down=$(find services/item/migrations -name '*.down.sql' | sort | head -n 1)
  # The clock of a file system ticks slowly: the folder's new time must differ from that of what was built.
  until [ "$down" -nt "$target" ]; do touch "$down"; done
  rm "$down"
  said=$(make "$target" 2>&1) && fail "a build without $down passes"
  case $said in *"$(basename "$down")"*) ;; *) fail "the build does not name $down: $said" ;; esac
}

what_was_made_of_deleted_contracts_and_services_goes() {
  local file
  local gone="gen/ghost/v1/ghost.bh.h gen/ghost/v1/ghost.bh.c gen/ghost/v1/ghost.pb-c.h gen/item/v1/gone.bh.h gen/ghost/queries.bh.h
    gen/services/ghost/migrations.c obj/services/ghost/main.o obj/gen/ghost/v1/ghost.bh.o lib/libsvc-ghost.a lib/libgen-bh.a bin/ghost
    bin/unit-ghost gen/contracts.list gen/queries.stamp"
  local kept="gen/item/v1/item.bh.h gen/item/v1/item.pb-c.c gen/item/queries.bh.h gen/bulkhead/v1/options.pb-c.h
    gen/google/api/http.pb-c.h obj/gen/item/v1/item.bh.o lib/libsvc-item.a bin/item bin/unit-item"
  for file in $gone $kept; do
    mkdir -p "build/release/$(dirname "$file")"
    touch "build/release/$file"
  done
  make -n help >/dev/null
  [ -e build/release/gen/ghost/v1/ghost.bh.h ] || fail "make -n removes files"
  make --no-print-directory help >/dev/null
  for file in $gone gen/ghost obj/services/ghost; do
    [ ! -e "build/release/$file" ] || fail "$file stays, although its source is gone"
  done
  for file in $kept; do
    [ -e "build/release/$file" ] || fail "$file was removed, although its source is there"
  done
  rm -rf build/release
}

missing_test_packages_are_installed() {
  local planned target list
  for target in unit-base:check component-item:dev unit:check; do
    list=packages-${target#*:}.list
    target=${target%:*}
    planned=$(make -n "$target" CRITERION_HEADER=/nonexistent 2>&1) || fail "make $target without the test packages: $planned"
    case $planned in *"$list"*) ;; *) fail "make $target does not install the test packages: $planned" ;; esac
  done
}

# chosen COMMAND...: prints the filter that the command gives to a program of tests.
chosen() { "$@" 2>&1 | sed -n 's/.*--filter //p'; }

single_tests_are_chosen_by_name() {
  local said
  make -n unit-base TEST=deadline 2>&1 | grep -qF "TEST='deadline' tests/named" || fail "TEST= does not reach the tests"
  [ "$(TEST=deadline chosen tests/named echo)" = '@(*/*deadline*|*deadline*/*)' ] || fail "TEST=word chooses something else"
  [ "$(TEST=clock/now chosen tests/named echo)" = clock/now ] || fail "TEST=suite/name chooses something else"
  [ "$(tests/named echo all)" = all ] || fail "without TEST= not all tests run"
  TEST=a tests/named echo "Synthesis: Tested: 2 | Passing: 2" >/dev/null || fail "tests that ran are taken for none"
  said=$(TEST=a tests/named echo "Synthesis: Tested: 0 | Passing: 0") && fail "no test of that name is taken for success: $said"
}

programs_that_pass_say_one_line_where_only_failures_count() {
  local said program
  program='echo "a line of a log"; echo "Synthesis: Tested: 2 |"; exit'
  said=$(ONLY_FAILURES=yes tests/named sh -c "$program 0") || fail "a program that passes is taken for a failure"
  [ "$said" = "Synthesis: Tested: 2 |" ] || fail "a program that passes says: $said"
  said=$(ONLY_FAILURES=yes tests/named sh -c "$program 1") && fail "a program that fails is taken for success"
  case $said in *"a line of a log"*) ;; *) fail "what a program said that fails is lost: $said" ;; esac
}

# wait_for_file FILE: waits until it is there, at most a minute.
wait_for_file() {
  local end=$(($(date +%s) + 60))
  until [ -e "$1" ]; do
    [ "$(date +%s)" -lt "$end" ] || fail "$1 did not come about: $(cat make.log)"
    sleep 0.02
  done
}

# make sends SIGTERM to what it has started, and ends after it.
a_make_that_is_terminated_ends_what_it_runs() {
  local target script pid
  printf '#!/bin/sh\n' >deploy/local/packages
  for target in run:stack watch:watch; do
    script=deploy/local/${target#*:}
    printf '#!/bin/sh\ntrap "touch stopped; exit 0" TERM\ntouch started\nwhile :; do sleep 0.05; done\n' >"$script"
    rm -f started stopped
    make MAKE=true "${target%:*}" >make.log 2>&1 &
    pid=$!
    wait_for_file started
    kill -TERM "$pid"
    wait "$pid"
    wait_for_file stopped
  done
}

# A stack and programs of tests that only say how they were called, and a make that builds nothing.
# shellcheck disable=SC2016  # the scripts that it writes expand these
stand_ins() {
  local name
  mkdir -p stand-ins build/release/bin
  printf '#!/bin/sh\n' >stand-ins/make
  printf '#!/bin/sh\nmkdir -p "$RUN_DIR/log"; : >"$RUN_DIR/env"; : >"$RUN_DIR/log/item-1.log"\n' >deploy/local/stack
  for name in e2e fault; do
    printf '#!/bin/sh\necho "called with $*"\n%s\n' \
      'case $* in *none*) n=0 ;; *) n=3 ;; esac; echo "Synthesis: Tested: $n | Passing: $n |"' >"build/release/bin/$name"
  done
  chmod +x stand-ins/make build/release/bin/*
}

single_tests_of_a_whole_stack_are_chosen_by_name() {
  local said step
  stand_ins
  for step in e2e fault; do
    said=$(VARIANT=release TEST=redis PATH=$PWD/stand-ins:$PATH tests/run "$step") || fail "TEST=redis in $step: $said"
    grep -qF -- "--filter @(*/*redis*|*redis*/*)" "build/test/$step.log" || fail "TEST=redis does not choose tests of $step"
    said=$(VARIANT=release TEST=none PATH=$PWD/stand-ins:$PATH tests/run "$step") &&
      fail "no test of $step with that name is taken for success: $said"
  done
}

# say_and_do NAME COMMAND: a program of tests that does so, and then says that its three tests have passed.
say_and_do() {
  printf '#!/bin/sh\n%s\necho "Synthesis: Tested: 3 | Passing: 3 |"\n' "$2" >"build/release/bin/$1"
}

# wait_for_both: the command of a program that ends only if another one, which does the same, runs beside it.
wait_for_both() { echo "touch $1; for i in \$(seq 400); do [ -e $2 ] && break; sleep 0.05; done; [ -e $2 ] || exit 1"; }

run_two_steps() { VARIANT=release TEST=a PATH=$PWD/stand-ins:$PATH tests/run "e2e fault"; }

steps_run_side_by_side_and_are_summed_up() {
  local said
  say_and_do e2e "$(wait_for_both first second)"
  say_and_do fault "$(wait_for_both second first)"
  said=$(run_two_steps) || fail "two steps side by side: $said"
  [ "${said##*$'\n'}" = "8 passed, 0 failed" ] || fail "the sum of two steps is: $said"
  say_and_do e2e "exit 1"
  said=$(run_two_steps) && fail "a step that fails beside one that passes is taken for success: $said"
  [ "${said##*$'\n'}" = "5 passed, 1 failed" ] || fail "the sum with a step that fails is: $said"
  say_and_do fault :
  said=$(SIDE_BY_SIDE=1 run_two_steps) && fail "a step that fails before one that passes is taken for success: $said"
  [ "${said##*$'\n'}" = "5 passed, 1 failed" ] || fail "the sum of two steps one after the other is: $said"
}

a_step_that_dies_has_failed() {
  local said
  say_and_do e2e :
  # The step's own process calls the stack.
  # shellcheck disable=SC2016  # the stand-in expands these
  printf '#!/bin/sh\ncase $1:$RUN_DIR in up:*fault) kill -KILL $PPID ;; esac\nmkdir -p "$RUN_DIR/log"; : >"$RUN_DIR/env"\n' \
    >deploy/local/stack
  said=$(run_two_steps) && fail "a step that dies is taken for success: $said"
  case $said in *"the step fault ended with 137 and without a sum"*) ;; *) fail "a step that dies is not named: $said" ;; esac
}

steps_that_are_terminated_leave_nothing() {
  local pid
  stand_ins
  # shellcheck disable=SC2016
  printf 'case $1 in down) touch "$RUN_DIR.down" ;; esac\n' >>deploy/local/stack
  say_and_do e2e 'echo $$ >e2e.pid; exec sleep 300'
  say_and_do fault 'echo $$ >fault.pid; exec sleep 300'
  rm -f e2e.pid fault.pid
  VARIANT=release TEST=a PATH=$PWD/stand-ins:$PATH tests/run "e2e fault" >make.log 2>&1 &
  pid=$!
  wait_for_file e2e.pid
  wait_for_file fault.pid
  rm -f build/run-*.down
  kill -TERM "$pid"
  wait "$pid" && fail "a run that was terminated ends with 0"
  wait_for_file build/run-e2e.down
  wait_for_file build/run-fault.down
  ! kill -0 "$(cat e2e.pid)" 2>/dev/null || fail "a test of e2e outlives the run: $(cat make.log)"
  ! kill -0 "$(cat fault.pid)" 2>/dev/null || fail "a test of fault outlives the run: $(cat make.log)"
}

# Every target that make help names exists.
help_is_true() {
  local target
  for target in $(make help | sed -n 's/^make //p' | sed 's/  .*//; s/ [A-Z]*=.*//' | tr ' ' '\n' | grep -v '^unit-\|^component-'); do
    make -n "$target" 2>&1 | grep -q 'No rule to make target' && fail "make help names $target, which is no target"
  done
  [ "$(make help | wc -l)" -gt 15 ] || fail "make help says little"
}

a_deleted_migration_is_noticed
what_was_made_of_deleted_contracts_and_services_goes
missing_test_packages_are_installed
single_tests_are_chosen_by_name
help_is_true
programs_that_pass_say_one_line_where_only_failures_count
# These replace files of the copy, so they come last.
a_make_that_is_terminated_ends_what_it_runs
single_tests_of_a_whole_stack_are_chosen_by_name
steps_run_side_by_side_and_are_summed_up
a_step_that_dies_has_failed
steps_that_are_terminated_leave_nothing
echo "ok"
