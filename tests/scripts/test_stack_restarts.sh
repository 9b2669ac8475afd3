#!/usr/bin/env bash
# Restarts of the local stack that meet each other or are killed: one process of each name is left, and nothing else.
# BULKHEAD_BIN is the folder of the programs (build/release/bin).
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
RUN_DIR=$folder
chmod 755 "$RUN_DIR"
out=$(realpath "$(dirname "${BULKHEAD_BIN:-build/release/bin}")")
export RUN_DIR OUT=$out PORT=0
unset RPC_LISTEN ADMIN_LISTEN BULKHEAD_PG_PLACE BULKHEAD_PG_LISTEN

tidy_up() { deploy/local/stack down >/dev/null 2>&1; }
do_stack() { said=$(deploy/local/stack "$@" 2>&1) || fail "stack $* failed: $said"; }
exists() { [ -e "$RUN_DIR/pids/$1" ]; }
pid_in() { cut -d' ' -f1 "$RUN_DIR/pids/$1"; }
is_gone() { ! kill -0 "$1" 2>/dev/null; }

# Prints the processes of the item service that belong to this stack.
items_of_this_stack() {
  local pid
  for pid in $(pgrep -f "^($out|$folder/idle)/bin/item"); do
    ! (tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "STATE_DIR=$RUN_DIR/state") 2>/dev/null || echo "$pid"
  done
}

# Fails unless the stack has two item services, and no trace of a restart.
nothing_is_left_over() {
  local left
  left=$(find "$RUN_DIR" \( -name '*.next' -o -name '*.old' -o -name '*.before' \) -not -path '*/postgres/*')
  [ -z "$left" ] || fail "$1 has left $left"
  [ "$(items_of_this_stack | wc -l)" = 2 ] || fail "after $1 these run: $(items_of_this_stack)"
}

two_at_once_take_turns() {
  local first
  deploy/local/stack restart item-1 >"$folder/first" 2>&1 &
  first=$!
  do_stack restart item-1
  wait "$first" || fail "the first of two restarts failed: $(cat "$folder/first")"
  nothing_is_left_over "two restarts at once"
}

# A program that finds its settings good and never serves.
make_idle_program() {
  mkdir -p "$folder/idle/bin"
  # shellcheck disable=SC2016  # the program expands it
  printf '#!/bin/sh\n[ "${1:-}" = check-config ] || exec sleep 600\n' >"$folder/idle/bin/item"
  chmod 755 "$folder/idle/bin/item"
}

# is_killed_by SIGNAL: a restart that waits for its successor gets that signal; `successor` is the process that it has started.
is_killed_by() {
  local script
  OUT=$folder/idle deploy/local/stack restart item-1 >"$folder/killed" 2>&1 &
  script=$!
  wait_until "the successor of item-1" exists item-1.next
  successor=$(pid_in item-1.next)
  kill "-$1" "$script"
  wait "$script" 2>/dev/null
}

one_that_is_interrupted_leaves_nothing() {
  local before
  before=$(cat "$RUN_DIR/pids/item-1" "$RUN_DIR/item-1.port" "$RUN_DIR/item-1.generation")
  is_killed_by TERM
  is_gone "$successor" || fail "the successor of an interrupted restart runs"
  [ "$(cat "$RUN_DIR/pids/item-1" "$RUN_DIR/item-1.port" "$RUN_DIR/item-1.generation")" = "$before" ] ||
    fail "an interrupted restart has changed item-1"
  nothing_is_left_over "an interrupted restart"
}

what_a_killed_one_leaves_is_settled_by_the_next() {
  local command
  for command in restart stop; do
    is_killed_by KILL
    do_stack "$command" item-1
    is_gone "$successor" || fail "the successor of a killed restart runs after $command"
    [ "$command" = restart ] || do_stack start item-1
    nothing_is_left_over "a killed restart, then $command"
  done
  # Killed between the two renames of a take-over.
  do_stack kill item-2
  mv "$RUN_DIR/pids/item-1" "$RUN_DIR/pids/item-1.next"
  echo "1 1" >"$RUN_DIR/pids/item-1.old"
  do_stack start item-2
  do_stack start item-1
  nothing_is_left_over "a restart that was killed while it took over the name"
}

# nginx' successor is told from a killed script's at the next command.
a_killed_restart_of_the_gateway_is_settled() {
  local script before
  before=$(pid_in gateway)
  deploy/local/stack restart gateway >"$folder/killed" 2>&1 &
  script=$!
  wait_until "the upgrade of the gateway" test -e "$RUN_DIR/gateway/nginx.conf.before"
  kill -KILL "$script"
  wait "$script" 2>/dev/null
  do_stack reload gateway
  [ ! -e "$RUN_DIR/gateway/nginx.conf.before" ] || fail "a killed restart of the gateway leaves its configuration"
  [ "$(pid_in gateway)" = "$before" ] || fail "a reload has replaced the gateway"
  do_stack restart gateway
  [ "$(pid_in gateway)" != "$before" ] || fail "the gateway was not replaced"
  wait_until "the end of the old gateway" is_gone "$before"
}

do_stack up --detach
make_idle_program
two_at_once_take_turns
one_that_is_interrupted_leaves_nothing
what_a_killed_one_leaves_is_settled_by_the_next
a_killed_restart_of_the_gateway_is_settled
echo "ok"
