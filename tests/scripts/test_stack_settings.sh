#!/usr/bin/env bash
# What `deploy/local/stack up` was given holds for what is restarted from a terminal that has none of it; what a restart is given is
# kept; a wrong value changes nothing. BULKHEAD_BIN is the folder of the programs (build/release/bin).
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
RUN_DIR=$folder
chmod 755 "$RUN_DIR"
export RUN_DIR

# stack NAME=VALUE... -- ARGUMENT...: runs deploy/local/stack with no other environment than this.
stack() {
  local given=()
  while [ "$1" != -- ]; do given+=("$1") && shift; done
  shift
  env -i PATH="$PATH" HOME="${HOME:-/}" RUN_DIR="$RUN_DIR" "${given[@]}" deploy/local/stack "$@" 2>&1
}

tidy_up() {
  stack -- down >/dev/null
}

# do_stack NAME=VALUE... -- ARGUMENT...: a command that must succeed; what it says is in `said`. Reads the gateway's address, which a
# restart with TLS changes.
do_stack() {
  said=$(stack "$@") || fail "stack $* failed: $said"
  # shellcheck disable=SC1091  # written by the stack
  . "$RUN_DIR/env"
}

ask() {
  curl -s --noproxy '*' --max-time 10 ${BULKHEAD_CA:+--cacert "$BULKHEAD_CA"} "$@"
}
allows_origin() {
  ask -D - -o /dev/null -H "Origin: https://app.example.com" "$BULKHEAD_URL/v1/items" |
    grep -qi '^access-control-allow-origin: https://app.example.com'
}
has_limit() {
  ask -D - -o /dev/null -H "Authorization: Bearer $token" "$BULKHEAD_URL/v1/users/me" | grep -qi "^ratelimit-policy:.*;q=$1;"
}

log_in() {
  local ada='{"email":"ada@example.com","password":"correct horse battery","displayName":"Ada"}'
  ask -f -o /dev/null "$BULKHEAD_URL/v1/users" -H 'Content-Type: application/json' -d "$ada" || fail "nobody can sign up"
  token=$(ask "$BULKHEAD_URL/v1/auth/login" -H 'Content-Type: application/json' -d "${ada%,*}}" | sed 's/.*"accessToken":"\([^"]*\)".*/\1/')
}
pid_of() { cut -d' ' -f1 "$RUN_DIR/pids/$1"; }
# has_variable NAME LINE: tells whether the process was started with this variable.
has_variable() { tr '\0' '\n' <"/proc/$(pid_of "$1")/environ" | grep -qxF -- "$2"; }

settings_of_up_hold() {
  local when
  for when in up restart reload; do
    case $when in
    restart) do_stack -- restart gateway ;;
    reload) do_stack -- reload gateway ;;
    esac
    allows_origin || fail "CORS_ORIGINS is lost after $when"
    has_limit 9 || fail "RATE_READ is lost after $when"
  done
  do_stack -- restart item-1
  has_variable item-1 ITEM_CACHE_BYTES=1m || fail "ITEM_CACHE_BYTES is lost after a restart"
  do_stack -- exec item check-config
  grep -qx ITEM_CACHE_BYTES=1m <<<"$said" || fail "exec does not know ITEM_CACHE_BYTES: $said"
  do_stack -- start gateway-2
  grep -q 'bulkhead_rate read "9/s"' "$RUN_DIR/gateway-2/nginx.conf" || fail "a further gateway does not know RATE_READ"
  do_stack -- stop gateway-2
}

a_restart_changes_one_process() {
  do_stack CORS_ORIGINS= RATE_READ=8/s TLS=1 -- restart gateway
  do_stack -- restart gateway
  ask -o /dev/null -f "$BULKHEAD_URL/healthz" || fail "TLS=1 is lost after another restart, $BULKHEAD_URL does not answer"
  case $BULKHEAD_URL in https://*) ;; *) fail "\$RUN_DIR/env does not know of HTTPS: $BULKHEAD_URL" ;; esac
  ! allows_origin || fail "an empty CORS_ORIGINS does not take it away"
  has_limit 8 || fail "RATE_READ of a restart is lost after another"
  do_stack LOG_LEVEL=debug -- restart item-1
  do_stack -- restart item-1
  has_variable item-1 LOG_LEVEL=debug || fail "LOG_LEVEL of a restart is lost after another"
  do_stack CORS_ORIGIN=https://app.example.com -- restart item-2
  [ "$said" = "gateway: CORS_ORIGIN is not a setting and has no effect; the command help lists all settings" ] ||
    fail "a restart with a misspelt setting said: $said"
  ! has_variable item-2 LOG_LEVEL=debug || fail "LOG_LEVEL of item-1 has reached item-2"
}

# refuses TEXT NAME=VALUE... -- ARGUMENT...
refuses() {
  local text=$1 before
  shift
  before=$(cat "$RUN_DIR"/pids/*)
  ! said=$(stack "$@") || fail "stack $* succeeded"
  grep -qF -- "$text" <<<"$said" || fail "stack $* said \"$said\", not \"$text\""
  [ "$(cat "$RUN_DIR"/pids/*)" = "$before" ] || fail "stack $* has changed what runs"
}

a_wrong_value_changes_nothing() {
  refuses 'gateway: RATE_READ is "often", but must be' RATE_READ=often -- restart gateway
  refuses 'item: PG_POOL_SIZE is "many", but must be' PG_POOL_SIZE=many -- restart item-1
  refuses 'TLS is "maybe", but must be' TLS=maybe -- restart gateway
  refuses 'GATEWAY_LISTEN is "0.0.0.0:1", but' GATEWAY_LISTEN=0.0.0.0:1 -- restart gateway
  refuses 'ITEM_INSTANCES is "two", but must be' ITEM_INSTANCES=two -- restart item-1
  refuses 'gateway: TLS_KEY is' TLS_CERTIFICATE=README.md TLS_KEY=nowhere -- start gateway-3
  do_stack -- restart gateway
  has_limit 8 || fail "RATE_READ is lost after a wrong one was refused"
}

# Holds a port until its process is ended: `holder`.
hold_port() {
  perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => shift, Listen => 1) or exit 1; sleep 60' "$1" &
  holder=$!
  wait_until "a listener on port $1" eval "(exec 3<>/dev/tcp/127.0.0.1/$1) 2>/dev/null"
}

# A gateway without TLS does not listen at its port for HTTPS.
a_successor_that_cannot_serve_changes_nothing() {
  local holder
  do_stack TLS=0 -- restart gateway
  hold_port "$(cut -d' ' -f3 "$RUN_DIR/gateway.ports")"
  refuses 'failed (98: Address already in use)' TLS=1 -- restart gateway
  ask -o /dev/null -f "$BULKHEAD_URL/healthz" || fail "the old gateway does not serve any more"
  do_stack -- reload gateway
  kill "$holder"
  do_stack TLS=1 -- restart gateway
}

# TLS=1 has given the gateway a certificate of the stack's own.
a_reload_says_what_became_of_it() {
  local certificate=$RUN_DIR/tls/gateway.pem
  do_stack -- reload gateway
  [ -z "$said" ] || fail "a reload without settings said: $said"
  cp "$certificate" "$folder/good.pem"
  echo broken >"$certificate"
  refuses "the reload failed, and gateway goes on with what it had: cannot load certificate \"$certificate\"" -- reload gateway
  cp "$folder/good.pem" "$certificate"
  do_stack RATE_READ=8/s RATE_WRITE=3/s -- reload gateway
  case $said in "a reload takes no settings, so these do not change: RATE_WRITE; "*"stack restart gateway") ;; *) fail "a reload said: $said" ;; esac
  has_limit 8 || fail "RATE_READ is lost after reloads"
}

only_the_owner_reads_them() {
  local others
  others=$(find "$RUN_DIR/settings" -perm /077)
  [ -z "$others" ] || fail "others may read $others"
  ! grep -r PASSWORD "$RUN_DIR/settings" || fail "a secret was kept"
}

# A program that finds its settings good and ends as soon as it is to serve.
a_service_that_ends_at_once_takes_no_name() {
  local place
  place=$(cat "$RUN_DIR/item-1.port" "$RUN_DIR/item-1.generation")
  mkdir -p "$RUN_DIR/broken/bin"
  # shellcheck disable=SC2016  # the program expands it
  printf '#!/bin/sh\n[ "${1:-}" = check-config ]\n' >"$RUN_DIR/broken/bin/item"
  chmod 755 "$RUN_DIR/broken/bin/item"
  refuses 'the new process does not serve, and item-1 goes on' OUT="$RUN_DIR/broken" -- restart item-1
  [ "$(cat "$RUN_DIR/item-1.port" "$RUN_DIR/item-1.generation")" = "$place" ] || fail "the port and the number of item-1 are those of a dropped process"
  # What says nothing when it becomes ready is found ready all the same.
  do_stack LOG_LEVEL=warn -- restart item-1
  has_variable item-1 LOG_LEVEL=warn || fail "item-1 has not restarted with LOG_LEVEL=warn"
}

knows_one_item() {
  local port
  read -r _ port _ <"$RUN_DIR/gateway.ports"
  ask "http://127.0.0.1:$port/readyz" | grep -qF '"item":1,'
}

# The gateway is connected to fewer instances than run.
an_ill_instance_hinders_no_restart() {
  local pid
  read -r pid _ <"$RUN_DIR/pids/item-2"
  kill -STOP "$pid"
  wait_until "the end of the connection to item-2" knows_one_item
  do_stack -- restart item-1
  kill -CONT "$pid"
}

out=$(dirname "${BULKHEAD_BIN:-build/release/bin}")
said=$(stack PORT=0 CORS_ORIGINS="https://app.example.com; x" OUT="$out" -- up --detach) && fail "up takes a wrong CORS_ORIGINS"
grep -q 'gateway: CORS_ORIGINS is ' <<<"$said" || fail "up with a wrong CORS_ORIGINS said $said"
[ -z "$(ls "$RUN_DIR/pids")" ] || fail "up with a wrong CORS_ORIGINS has left processes"
[ ! -e "$RUN_DIR/settings" ] && [ ! -e "$RUN_DIR/gateway.ports" ] || fail "up with a wrong CORS_ORIGINS has kept settings"
# An earlier version kept what is no port.
echo "99999 20001 99999" >"$RUN_DIR/gateway.ports"
do_stack PORT=0 CORS_ORIGINS=https://app.example.com RATE_READ=9/s ITEM_CACHE_BYTES=1m ITEM_INSTANCES=2 REDIS_PASSWORD=hidden \
  OUT="$out" -- up --detach
log_in
settings_of_up_hold
a_restart_changes_one_process
a_wrong_value_changes_nothing
a_successor_that_cannot_serve_changes_nothing
a_service_that_ends_at_once_takes_no_name
a_reload_says_what_became_of_it
only_the_owner_reads_them
an_ill_instance_hinders_no_restart
echo "ok"
