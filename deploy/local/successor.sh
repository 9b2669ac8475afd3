# shellcheck shell=bash
# Restarts a service without a lost request, also where it has one instance only: its successor starts beside it, and takes calls before
# the old one drains. Sourced by deploy/local/stack.
# Where nobody would find the successor, the old one ends first.
#
# A restart that is killed leaves both; the next command for that name, or its own trap, leaves one.
#
# Both run for a while, so they differ in what others know them by: the process is NAME.next until it takes over the name and the old one
# becomes NAME.old; its port is a free one; and each start of a successor has a number of its own in the instance's id.

# instance_id NAME: prints the id under which a process registers. It stays the same until a successor gets the next one, because
# whoever starts after a crash takes the place of the dead.
instance_id() {
  local generation=0
  [ ! -s "$RUN_DIR/$1.generation" ] || read -r generation <"$RUN_DIR/$1.generation"
  echo "$1-$(basename "$SOCKETS" | tr -dc a-zA-Z0-9)-$generation"
}

next_generation() {
  local generation=0
  [ ! -s "$RUN_DIR/$1.generation" ] || read -r generation <"$RUN_DIR/$1.generation"
  echo $((generation + 1)) >"$RUN_DIR/$1.generation"
}

consul_answers() { [ -n "$(consul_get /v1/status/leader -m 2)" ]; }

# is_listed SERVICE ID: tells whether Consul names that instance among those that take calls.
is_listed() { consul_get "/v1/health/service/$1?passing" -m 2 | grep -qF "\"ServiceID\":\"$2\""; }

# Prints the gateways that run.
running_gateways() {
  local name
  for name in $(names); do
    case $name in gateway | gateway-[1-9]*) ! is_running "$name" || echo "$name" ;; esac
  done
}

# count_listed SERVICE: prints how many of its instances Consul names among those that take calls.
count_listed() { consul_get "/v1/health/service/$1?passing" -m 2 | grep -o '"ServiceID":"[^"]\+"' | sort -u | wc -l; }

# count_known GATEWAY SERVICE: prints to how many instances that gateway is connected; fails where it does not answer.
count_known() {
  local port page
  read -r _ port _ <"$RUN_DIR/$1.ports" && page=$(curl -s -m 2 --noproxy '*' "http://127.0.0.1:$port/readyz") || return
  page=$(sed -n "s/.*\"$2\":\([0-9]*\).*/\1/p" <<<"$page")
  echo "${page:-0}"
}

# note_known SERVICE: prints GATEWAY:COUNT for each gateway that answers, with what count_known says before a successor starts.
note_known() {
  local name count
  for name in $(running_gateways); do
    if count=$(count_known "$name" "$1"); then
      echo "$name:$count"
    else
      say "$name does not answer, so nothing waits until it knows the new process"
    fi
  done
}

# has_learned GATEWAY:COUNT SERVICE: tells whether that gateway is connected to one more instance than it was, or to all that take calls:
# another instance may have gone meanwhile.
has_learned() {
  local gateway=${1%:*} known listed
  is_running "$gateway" || return 0
  known=$(count_known "$gateway" "$2") || return
  [ "$known" -le "${1#*:}" ] || return 0
  listed=$(count_listed "$2") && [ "$listed" -gt 0 ] && [ "$known" -ge "$listed" ]
}

# await_soon NAME SECONDS COMMAND...: waits until the command succeeds; fails where the time is over, or that process or the script ends.
await_soon() {
  local name=$1 end=$(($(date +%s) + $2))
  shift 2
  until "$@" >/dev/null 2>&1; do
    is_running "$name" && [ "$(date +%s)" -lt "$end" ] && kill -0 $$ 2>/dev/null || return 1
    sleep 0.05
  done
}

# takes_calls NAME GATEWAY:COUNT...: waits until the successor of that process is listed, which it is only once it is ready, and until
# these gateways are connected to it. Prints what has failed.
takes_calls() {
  local name=$1 service=${1%-*} noted
  shift
  if ! await_soon "$name.next" 60 is_listed "$service" "$(instance_id "$name")"; then
    if is_running "$name.next"; then echo "Consul does not list the new process as ready"; else echo "the new process does not serve"; fi
    return 1
  fi
  for noted; do
    await_soon "$name.next" 30 has_learned "$noted" "$service" || {
      echo "${noted%:*} has no connection to the new process"
      return 1
    }
  done
}

# note_place NAME: keeps where the process of that name listens and the number in its id, until a successor takes over the name.
note_place() {
  local kind
  for kind in port generation; do
    if [ -s "$RUN_DIR/$1.$kind" ]; then cat "$RUN_DIR/$1.$kind"; else echo 0; fi >"$RUN_DIR/$1.$kind.before" || return
  done
}

forget_place() { rm -f "$RUN_DIR/$1.port.before" "$RUN_DIR/$1.generation.before"; }

# drop_successor NAME: ends a successor that cannot serve, or that a killed script has left. The place of the old one holds again.
drop_successor() {
  local kind
  [ ! -e "$RUN_DIR/pids/$1.next" ] || stop_one "$1.next"
  for kind in port generation; do
    [ ! -e "$RUN_DIR/$1.$kind.before" ] || mv "$RUN_DIR/$1.$kind.before" "$RUN_DIR/$1.$kind"
  done
}

# take_over_name NAME: the successor gets the name, and the old one drains. `make run` sees no accident, because none of the names ever
# stands for a process that has ended.
take_over_name() {
  forget_place "$1"
  mv "$RUN_DIR/pids/$1" "$RUN_DIR/pids/$1.old" && mv "$RUN_DIR/pids/$1.next" "$RUN_DIR/pids/$1" && stop_one "$1.old"
}

# why_not_beside NAME: prints why no successor can start while that process runs; fails where one can.
why_not_beside() {
  if [ -n "${RPC_LISTEN:-}${ADMIN_LISTEN:-}" ]; then
    echo "RPC_LISTEN or ADMIN_LISTEN gives $1 a port that two processes cannot have"
  elif ! consul_answers; then
    echo "Consul does not answer, so nobody would find a successor of $1"
  else
    return 1
  fi
}

# replace_service NAME: where the successor cannot serve, the old one goes on.
replace_service() {
  local name=$1 begin why noted
  drop_successor "$name"
  [ ! -e "$RUN_DIR/pids/$name.old" ] || stop_one "$name.old"
  if why=$(why_not_beside "$name"); then
    say "$why: it ends before it starts again, at the same port"
    stop_one "$name" && start_one "$name"
    return
  fi
  finish_rotation_or_say
  begin=$(size_of_log "$name")
  noted=$(note_known "${name%-*}")
  note_place "$name" && next_generation "$name" || return 1
  if ! launch_service "$name" "$name.next"; then
    drop_successor "$name"
    return 1
  fi
  # In the background, because only `wait` is ended by a signal at once.
  # shellcheck disable=SC2086  # each gateway is a word of its own
  takes_calls "$name" $noted >"$RUN_DIR/log/.$name.why" &
  if ! wait $!; then
    drop_successor "$name"
    why=$(cat "$RUN_DIR/log/.$name.why")
    say "$why, and $name goes on with the old one and its settings; its log ($RUN_DIR/log/$name.log) says why:"
    tail -c +$((begin + 1)) "$RUN_DIR/log/$name.log" | grep -v '"level":"info"' | tail -n 20 >&2
    return 1
  fi
  take_over_name "$name" && keep_settings "$name" "${name%%-[0-9]*}"
}

# ---- one command at a time ----

# settle_service NAME: a successor that has not taken over the name is dropped, and one that was about to has it now.
settle_service() {
  local name=$1
  if [ -e "$RUN_DIR/pids/$name.next" ] && [ -e "$RUN_DIR/pids/$name.old" ] && [ ! -e "$RUN_DIR/pids/$name" ]; then
    mv "$RUN_DIR/pids/$name.next" "$RUN_DIR/pids/$name"
  fi
  drop_successor "$name"
  [ ! -e "$RUN_DIR/pids/$name.old" ] || stop_one "$name.old"
}

has_no_successor() { [ ! -e "$2.oldbin" ] && [ "$(cat "$2")" = "$1" ]; }

# settle_replaced_gateway NAME: ends a successor that was not let take over, and gives the old one its configuration back.
settle_replaced_gateway() {
  local old conf=$RUN_DIR/$1/nginx.conf
  [ -e "$conf.before" ] || return 0
  if old=$(pid_of "$1"); then
    end_successor "$old" "$RUN_DIR/$1/gateway.pid"
    await_soon "$1" 30 has_no_successor "$old" "$RUN_DIR/$1/gateway.pid" ||
      say "the new process of $1, of a restart that was killed, does not end; see $RUN_DIR/log/$1.log"
  fi
  mv "$conf.before" "$conf"
}

settle() {
  case $1 in gateway*) settle_replaced_gateway "$1" ;; *-*) settle_service "$1" ;; esac
}

# alone NAME COMMAND...: runs a command that starts, ends or replaces the process, while no other script does so. What a script that was
# killed has left is settled first; what this one leaves when it is interrupted, at once. `kill` and `down` wait for nobody.
alone() {
  local name=$1
  shift
  # Descriptor 9 is not passed on to what is launched.
  exec 9>>"$RUN_DIR/$name.lock"
  flock -w $(($(longest_call_s) + 120)) 9 || die "another script is starting or ending $name; try again once it has ended"
  settle "$name"
  trap 'trap - INT TERM HUP; settle "$name"; exit 130' INT TERM HUP
  "$@"
}
