#!/usr/bin/env bash
# deploy/local/stack where nothing runs: each command says so in one line, and down is no failure. After `down` another stack
# can start at once; how many instances there are is known to later commands. BULKHEAD_BIN is the folder of the programs
# (build/release/bin).
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
RUN_DIR=$folder
export RUN_DIR
out=$(dirname "${BULKHEAD_BIN:-build/release/bin}")

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

# The script that holds the lock, as `make run` does, notices the end of the processes late.
down_waits_for_the_lock() {
  local holder
  mkdir -p "$RUN_DIR/pids"
  echo "1 1" >"$RUN_DIR/pids/gateway"
  mkfifo "$RUN_DIR/held"
  (
    exec 9>"$RUN_DIR/lock"
    flock 9
    echo held >"$RUN_DIR/held"
    while [ -e "$RUN_DIR/sockets" ]; do sleep 0.1; done
    sleep 0.5
  ) &
  holder=$!
  mktemp -d "$RUN_DIR/sockets.XXXXXX" >"$RUN_DIR/sockets"
  read -r _ <"$RUN_DIR/held"
  deploy/local/stack down >"$RUN_DIR/said" 2>&1 || fail "down ended with $?: $(cat "$RUN_DIR/said")"
  flock -n "$RUN_DIR/lock" true || fail "down returned while the lock was held"
  wait "$holder"
}

counts_of_instances_are_kept() {
  local said
  mkdir -p "$RUN_DIR/settings"
  echo 'USER_INSTANCES=2' >"$RUN_DIR/settings/up"
  mktemp -d "$RUN_DIR/sockets.XXXXXX" >"$RUN_DIR/sockets"
  said=$(deploy/local/stack stop user-2 2>&1) || fail "user-2 is not known: $said"
  said=$(deploy/local/stack stop user-3 2>&1) && fail "user-3 is known: $said"
  case $said in *"there is no process user-3"*"user-1 user-2"*) ;; *) fail "stop user-3 said: $said" ;; esac
}

# Another `up` would give what runs other settings.
up_leaves_what_runs_alone() {
  local said before code
  (
    # shellcheck source=deploy/local/lib.sh
    . deploy/local/lib.sh
    launch item-1 sleep 600
  )
  before=$(cat "$RUN_DIR/pids/item-1")
  said=$(RATE_READ=5/s deploy/local/stack up --detach 2>&1) && fail "up starts a second stack in $RUN_DIR"
  case $said in *"a stack runs already in $RUN_DIR"*"deploy/local/stack down"*) ;; *) fail "up beside a stack that runs said: $said" ;; esac
  case $said in *"do not run:"*" gateway "*"item-2 "*"deploy/local/stack start NAME"*) ;; *) fail "up does not name what is dead: $said" ;; esac
  case $said in *item-1*) fail "up says that item-1 is dead: $said" ;; esac
  kill -0 "${before% *}" || fail "up has ended what ran"
  [ "$(cat "$RUN_DIR/settings/up")" = USER_INSTANCES=2 ] || fail "up has changed the settings of what runs"
  said=$(deploy/local/stack status)
  code=$?
  [ "$code" -eq 1 ] || fail "status ended with $code where gateway does not run: $said"
  case $said in *"gateway does not run"*"item-1 runs as ${before% *}"*"item-2 does not run"*) ;; *) fail "status said: $said" ;; esac
  deploy/local/stack down || fail "down ended with $?"
}

# up_refuses NAME VALUE WORDS: `up` with this setting ends with one line, and has written nothing.
up_refuses() {
  local said code
  said=$(env RUN_DIR="$folder/fresh" "$1=$2" deploy/local/stack up --detach 2>&1)
  code=$?
  [ "$code" -eq 1 ] || fail "up with $1=$2 ended with $code: $said"
  case $said in "bulkhead: $1 is \"$2\", but "*"$3"*) ;; *) fail "up with $1=$2 said: $said" ;; esac
  [ "$(wc -l <<<"$said")" -eq 1 ] || fail "up with $1=$2 said more than one line: $said"
  [ ! -e "$folder/fresh" ] || fail "up with $1=$2 wrote $(find "$folder/fresh")"
}

up_refuses_wrong_settings() {
  local value
  for value in 65536 99999 080 80a -1; do
    up_refuses PORT "$value" "a port from 0 to 65535"
    up_refuses HTTPS_PORT "$value" "a port from 0 to 65535"
    up_refuses GRPC_PORT "$value" "a port from 0 to 65535"
  done
  for value in no off on 2; do up_refuses RPC_TLS "$value" "1 or 0"; done
  up_refuses TLS maybe "1 or 0"
  for value in two 1.5 -1 08 100; do
    up_refuses ITEM_INSTANCES "$value" "a whole number from 0 to 99"
    up_refuses AUTH_INSTANCES "$value" "a whole number from 0 to 99"
  done
  up_refuses GATEWAY_LISTEN 0.0.0.0:8080 "PORT, HTTPS_PORT and GRPC_PORT"
  up_refuses GRPC_LISTEN 0.0.0.0:8081 "PORT, HTTPS_PORT and GRPC_PORT"
  up_refuses HTTPS_LISTEN 0.0.0.0:8443 "PORT, HTTPS_PORT and GRPC_PORT"
  up_refuses GATEWAY_ADMIN_LISTEN 0.0.0.0:9090 "for operators at a free one"
}

up_without_consul_starts_nothing() {
  local said code
  said=$(RUN_DIR="$folder/fresh" OUT="$out" BULKHEAD_CONSUL=/nonexistent deploy/local/stack up --detach 2>&1)
  code=$?
  [ "$code" -eq 1 ] || fail "up without Consul ended with $code: $said"
  [ "$said" = "bulkhead: no Consul is installed; run: make deps" ] || fail "up without Consul said: $said"
  ! compgen -G "$folder/fresh/pids/*" || fail "up without Consul started something"
  rm -rf "$folder/fresh"
}

misspelt_settings_are_named() {
  local said
  said=$(env RATE_REED=1/s ITM_INSTANCES=3 GATEWAY_INSTANCES=2 AUTH_INSTANCES=2 PORT=none deploy/local/stack up 2>&1) && fail "up takes PORT=none"
  case $said in *"gateway: RATE_REED is not a setting and has no effect; "*) ;; *) fail "RATE_REED is not named: $said" ;; esac
  case $said in *"bulkhead: ITM_INSTANCES is not a setting and has no effect; there are: "*ITEM_INSTANCES*) ;; *) fail "ITM_INSTANCES is not named: $said" ;; esac
  case $said in *"gateway: GATEWAY_INSTANCES is not"*) ;; *) fail "GATEWAY_INSTANCES is not named: $said" ;; esac
  [ "$(wc -l <<<"$said")" -eq 4 ] || fail "other variables are taken for misspelt settings: $said"
}

unknown_names_are_named() {
  local said code
  said=$(deploy/local/stack bogus 2>&1)
  code=$?
  [ "$code" -eq 2 ] || fail "an unknown command ended with $code"
  [ "$(wc -l <<<"$said")" -eq 1 ] || fail "an unknown command said more than one line: $said"
  case $said in *"there is no command bogus; there are: "*" logs "*" rotate-passwords "*" up upgrade help") ;; *) fail "an unknown command said: $said" ;; esac
  echo line >"$RUN_DIR/log/item-1.log"
  said=$(timeout 20 deploy/local/stack logs foo 2>&1) && fail "there is a log foo: $said"
  case $said in *"there is no log foo; there are: "*"item-1"*) ;; *) fail "logs foo said: $said" ;; esac
}

help_is_given() {
  local command said
  for command in deploy/local/stack deploy/tls/certificates deploy/keys; do
    said=$("$command" --help 2>&1) || fail "$command --help ended with $?: $said"
    case $said in *"  $command "*) ;; *) fail "$command --help said: $said" ;; esac
  done
  for command in deploy/tls/certificates deploy/keys; do
    said=$("$command" --halp 2>&1) && fail "$command takes --halp for a folder"
    case $said in *"usage: $command "*) ;; *) fail "$command --halp said: $said" ;; esac
  done
}

help_is_given
unknown_names_are_named
misspelt_settings_are_named
up_refuses_wrong_settings
up_without_consul_starts_nothing
down_waits_for_the_lock
counts_of_instances_are_kept
up_leaves_what_runs_alone
echo "ok"
