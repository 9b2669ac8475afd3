#!/usr/bin/env bash
# deploy/local/stack where nothing runs: each command says so in one line, and down is no failure.
set -u
cd "$(dirname "$0")/../.." || exit 1
RUN_DIR=$(mktemp -d /tmp/bulkhead-test.XXXXXX)
export RUN_DIR
trap 'rm -rf "$RUN_DIR"' EXIT

fail() {
  echo "FAIL: $*"
  exit 1
}

# expect CODE COMMAND...: the command ends with this code and says in one line that nothing runs.
expect() {
  local wanted=$1 said code
  shift
  said=$(deploy/local/stack "$@" 2>&1)
  code=$?
  [ "$code" -eq "$wanted" ] || fail "stack $* ended with $code: $said"
  [ "$said" = "no stack runs in $RUN_DIR" ] || fail "stack $* said: $said"
}

nothing_runs() {
  expect 0 down
  expect 1 status
  expect 1 stop gateway
  expect 1 restart item-1
}

nothing_runs
# These files are what a stopped stack leaves behind.
mkdir -p "$RUN_DIR/pids" "$RUN_DIR/log" "$RUN_DIR/stopping"
echo "20001 20002 20003" >"$RUN_DIR/consul.ports"
nothing_runs
# These files are what a machine leaves that was switched off: a process that is gone, and a folder of sockets that is gone.
echo "1 1" >"$RUN_DIR/pids/gateway"
echo "$RUN_DIR/nowhere" >"$RUN_DIR/sockets"
said=$(deploy/local/stack down 2>&1) || fail "down after a power cut ended with $?: $said"
[ -z "$said" ] || fail "down after a power cut said: $said"
nothing_runs
echo "ok"
