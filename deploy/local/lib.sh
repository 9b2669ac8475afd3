# shellcheck shell=bash
# Starting and stopping private servers: shared by deploy/local/stack and tests/with-servers. Sourced, not run.
#
# A process is known by a file in $RUN_DIR/pids that holds its pid and its start time, so that a pid that the kernel has
# reused for another process is never signalled. Every process leads a session of its own: a Ctrl-C reaches the
# script alone, which then stops things in the right order.

# Debian keeps nginx in a folder that is not on an ordinary user's PATH.
PATH=$PATH:/usr/sbin:/sbin

# More options for initdb and postgres; the caller may set them.
INITDB_OPTIONS=()
PG_OPTIONS=()
# KILL: a server dies with the script that has launched it, however that ends.
DIE_WITH_US=

# Written by a process of its own: where nobody reads any more (Ctrl-C ends the tee of `make run | tee FILE`, too), SIGPIPE
# ends that process and not the script, which has servers to stop.
say() { (printf '%s\n' "$*" >&2) || :; }
die() {
  say "bulkhead: $*"
  exit 1
}

# start_time_of PID: field 22 of /proc/PID/stat. The fields are counted behind the name, because that may hold spaces.
start_time_of() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086  # the fields are words
  set -- $stat
  # A zombie counts as ended.
  [ "$1" != Z ] || return 1
  echo "${20}"
}

# pid_of NAME: prints the pid of a process that runs; fails where it does not.
pid_of() {
  local pid started
  [ -f "$RUN_DIR/pids/$1" ] || return 1
  # Another script may take the file away at this moment.
  read -r pid started 2>/dev/null <"$RUN_DIR/pids/$1" || return 1
  # Without a start time it had ended before its pid file was written.
  [ -n "$started" ] && [ "$(start_time_of "$pid")" = "$started" ] || return 1
  echo "$pid"
}

is_running() { pid_of "$1" >/dev/null; }

# log_of NAME: prints the log of a process. A successor (NAME.next) and the one before it (NAME.old) write the log of their name.
log_of() {
  local name=${1%.next}
  echo "$RUN_DIR/log/${name%.old}.log"
}

size_of_log() { stat -c %s "$(log_of "$1")" 2>/dev/null || echo 0; }

# Prints the last lines that the process has logged since its start. What earlier runs logged stands before that.
end_of_log() {
  local begin=0
  [ ! -s "$RUN_DIR/log/.$1.begin" ] || read -r begin <"$RUN_DIR/log/.$1.begin"
  # The log was emptied or rotated meanwhile.
  [ "$(size_of_log "$1")" -ge "$begin" ] || begin=0
  tail -c +$((begin + 1)) "$(log_of "$1")" | tail -n 20
}

# supervise NAME COMMAND...: starts a process, prints its pid, waits for its end and notes how it ended. Nothing depends on
# the supervisor: where it dies first, how the process ends stays unknown. The process may have got another name meanwhile.
supervise() {
  local name=$1 child code file
  shift
  setsid "$@" >>"$(log_of "$name")" 2>&1 &
  child=$!
  echo "$child"
  exec >/dev/null
  wait "$child"
  code=$?
  file=$(grep -l "^$child " "$RUN_DIR"/pids/* 2>/dev/null | head -n 1)
  # A process that ends at once may get its pid file only now.
  [ -n "$file" ] || [ ! -e "$RUN_DIR/pids/$name" ] || file=$(grep -l "^$child " "$RUN_DIR"/pids/* 2>/dev/null | head -n 1)
  # Where the name has gone to another process, nobody asks.
  [ -n "$file" ] || [ ! -e "$RUN_DIR/pids/$name" ] || return 0
  echo "$code" >"$RUN_DIR/log/.$(basename "${file:-$name}").end"
}

# launch NAME COMMAND...: starts a process in the background, with its output in $RUN_DIR/log/NAME.log. Descriptor 9 is
# the stack's lock and must not be inherited.
# The pid file is renamed into place, because other scripts may read it at any moment.
launch() {
  local name=$1 pid
  shift
  mkdir -p "$RUN_DIR/pids" "$RUN_DIR/log"
  size_of_log "$name" >"$RUN_DIR/log/.$name.begin"
  rm -f "$RUN_DIR/log/.$name.end" "$RUN_DIR/pids/$name"
  if [ -z "$DIE_WITH_US" ]; then
    # In a subshell that ends at once, so that `wait` in this script does not wait for the supervisor.
    pid=$( (supervise "$name" "$@" 9>&- 2>/dev/null </dev/null &) )
  else
    # The kernel sends the signal when the parent dies, so this script itself must be the parent.
    setsid setpriv --pdeathsig "$DIE_WITH_US" -- "$@" 9>&- >>"$(log_of "$name")" 2>&1 </dev/null &
    pid=$!
    disown "$pid"
  fi
  echo "$pid $(start_time_of "$pid")" >"$RUN_DIR/pids/.$name"
  mv "$RUN_DIR/pids/.$name" "$RUN_DIR/pids/$name"
}

# how_ended NAME: prints how the process ended, in words.
how_ended() {
  local code="" tries
  # Its supervisor needs a moment to note it, on a busy machine some seconds.
  for tries in $(seq 100); do
    read -r code 2>/dev/null <"$RUN_DIR/log/.$1.end" && break
    sleep 0.05
  done
  if [ -z "$code" ]; then
    echo "it is not known how"
  elif [ "$code" -gt 128 ] && kill -l $((code - 128)) >/dev/null 2>&1; then
    echo "by the signal $(kill -l $((code - 128))) ($((code - 128)))"
  else
    echo "with exit status $code"
  fi
}

# announce_stop NAME: from here until stop_is_over, the end of this process is expected. The announcement counts
# while the script that made it lives.
announce_stop() {
  # Not $$: the services are stopped by subshells.
  local self=$BASHPID
  mkdir -p "$RUN_DIR/stopping"
  echo "$self $(start_time_of "$self")" >"$RUN_DIR/stopping/.$1.$self"
  mv "$RUN_DIR/stopping/.$1.$self" "$RUN_DIR/stopping/$1"
}
stop_is_over() { rm -f "$RUN_DIR/pids/$1" "$RUN_DIR/stopping/$1"; }

is_being_stopped() {
  local pid started
  [ -f "$RUN_DIR/stopping/$1" ] || return 1
  read -r pid started 2>/dev/null <"$RUN_DIR/stopping/$1" || return 1
  [ "$(start_time_of "$pid")" = "$started" ]
}

# has_died NAME: true if it has ended without having been stopped. A stop takes the pid file away before its announcement; so
# a process without an announcement whose pid file is still the same was not stopped in between.
has_died() {
  local before
  before=$(cat "$RUN_DIR/pids/$1" 2>/dev/null) || return 1
  is_running "$1" && return 1
  is_being_stopped "$1" && return 1
  [ "$(cat "$RUN_DIR/pids/$1" 2>/dev/null)" = "$before" ] && ! is_running "$1"
}

# halt NAME SIGNAL SECONDS: asks a process to end by the signal, and kills it after that time.
halt() {
  local name=$1 signal=$2 tenths=$((${3:-15} * 10)) pid
  announce_stop "$name"
  if pid=$(pid_of "$name"); then
    kill "-$signal" "$pid" 2>/dev/null
    while is_running "$name"; do
      if [ "$tenths" -le 0 ]; then
        say "$name did not end in time; it is killed now"
        kill -KILL "$pid" 2>/dev/null
        tenths=50
      fi
      sleep 0.1
      tenths=$((tenths - 1))
    done
  fi
  stop_is_over "$name"
}

# end_session PID SECONDS: asks the processes of the session that PID leads to end, and kills them after that time.
# Test programs have workers, which need not end with them.
end_session() {
  local tenths=$((${2:-5} * 10))
  pkill -TERM -s "$1" 2>/dev/null
  while pgrep -s "$1" >/dev/null; do
    if [ "$tenths" -le 0 ]; then
      pkill -KILL -s "$1" 2>/dev/null
      return
    fi
    sleep 0.1
    tenths=$((tenths - 1))
  done
}

# Reports a process that has ended although it should run, with the end of its log.
report_end_of() {
  say "$1 has ended unexpectedly, $(how_ended "$1"); the end of its log ($RUN_DIR/log/$1.log):"
  end_of_log "$1" >&2 || true
}

# wait_for NAME SECONDS WHAT COMMAND...: waits until the command succeeds. Fails when NAME ends or the time is over.
wait_for() {
  local name=$1 end=$(($(date +%s) + $2)) what=$3
  shift 3
  until "$@" >/dev/null 2>&1; do
    if ! is_running "$name"; then
      report_end_of "$name"
      return 1
    fi
    if [ "$(date +%s)" -ge "$end" ]; then
      say "$what did not come in time; the end of $RUN_DIR/log/$name.log:"
      end_of_log "$name" >&2
      return 1
    fi
    sleep 0.05
  done
}

# Prints a loopback port that is free now, a different one at each call in one run, and none that another stack has chosen.
free_port() {
  (
    # Where /tmp cannot be written, only this stack's own choices are known.
    { exec 7>>"$PORTS_CHOSEN"; } 2>/dev/null && flock 7
    for tries in $(seq 200); do
      port=$((20000 + (RANDOM * 32768 + RANDOM + tries) % 12000))
      is_port_chosen "$port" && continue
      if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        echo "$port" >>"$RUN_DIR/ports"
        { echo "$port $RUN_DIR" >&7; } 2>/dev/null
        forget_old_choices 2>/dev/null
        echo "$port"
        exit
      fi
    done
    die "found no free port"
  ) || exit
}

# The ports that the stacks of this user have chosen, "PORT RUN_DIR" each: another stack may not have bound its own yet, or be
# restarting what has. A line counts while that stack's list has the port.
PORTS_CHOSEN=${TMPDIR:-/tmp}/bulkhead-ports-$(id -u)

forget_old_choices() {
  local last
  [ "$(wc -l <"$PORTS_CHOSEN")" -lt 2000 ] && return
  last=$(tail -n 1000 "$PORTS_CHOSEN") && echo "$last" >"$PORTS_CHOSEN"
}

is_port_chosen() {
  local port folder
  grep -qx "$1" "$RUN_DIR/ports" 2>/dev/null && return
  while read -r port folder; do
    [ "$port" = "$1" ] && grep -qx "$1" "$folder/ports" 2>/dev/null && return
  done 2>/dev/null <"$PORTS_CHOSEN"
  return 1
}

random_secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# locked COMMAND...: runs a command that changes secrets while no other script does. What a killed script has started keeps the lock
# until it has ended, too.
locked() {
  (
    exec 8>>"$RUN_DIR/secrets.lock"
    flock -w 10 8 ||
      die "process $(cat "$RUN_DIR/secrets.lock"), or what it has started, is changing the secrets in $RUN_DIR; try again once it has ended"
    echo $$ >"$RUN_DIR/secrets.lock"
    "$@"
  )
}

# keep_secret NAME TEXT: writes a file that only its owner can read; those who read it see the old text or the new one, also after a
# power cut. What is the same stays untouched.
keep_secret() {
  local file=$RUN_DIR/secrets/$1
  mkdir -p "$RUN_DIR/secrets" && chmod 700 "$RUN_DIR/secrets"
  [ "$(cat "$file" 2>/dev/null)" != "$2" ] || return 0
  (
    umask 077 && printf '%s\n' "$2" >"$file.$BASHPID" && sync "$file.$BASHPID" &&
      mv "$file.$BASHPID" "$file" && sync "$RUN_DIR/secrets"
  )
}

# secrets/NAME.next holds the new password of a rotation, from before the store knows it until secrets/NAME and all that is made of
# it have it. So each step may be the last one of a script that is killed: whoever finds NAME.next later takes all steps again.
is_next() { [ -s "$RUN_DIR/secrets/$1.next" ]; }
make_next() { keep_secret "$1.next" "$(random_secret)"; }
# take_next NAME: the secret becomes the new one, if there is one.
take_next() { ! is_next "$1" || keep_secret "$1" "$(cat "$RUN_DIR/secrets/$1.next")"; }
drop_next() { rm -f "$RUN_DIR/secrets/$1.next"; }

# secret NAME: prints a secret that stays the same at every start. No secret ever is an argument of a program, because all users
# of a machine can read those: it goes in by a file or by standard input.
secret() {
  local file=$RUN_DIR/secrets/$1
  [ -s "$file" ] || keep_secret "$1" "$(random_secret)"
  cat "$file"
}

# newest_secret NAME: prints what the secret is or is about to become.
newest_secret() { if is_next "$1"; then cat "$RUN_DIR/secrets/$1.next"; else secret "$1"; fi; }

# secret_uuid NAME: the same as a UUID, which Consul's tokens must be.
secret_uuid() {
  local file=$RUN_DIR/secrets/$1
  [ -s "$file" ] || keep_secret "$1" "$(cat /proc/sys/kernel/random/uuid)"
  cat "$file"
}

# The folders of a run. Unix socket paths end at 107 bytes, so the sockets have a short folder of their own.
prepare_run_dir() {
  mkdir -p "$RUN_DIR" && RUN_DIR=$(cd "$RUN_DIR" && pwd)
  mkdir -p "$RUN_DIR/pids" "$RUN_DIR/log"
  if [ -s "$RUN_DIR/sockets" ] && [ -d "$(cat "$RUN_DIR/sockets")" ]; then
    SOCKETS=$(cat "$RUN_DIR/sockets")
  else
    SOCKETS=$(mktemp -d "${TMPDIR:-/tmp}/bulkhead.XXXXXX")
    chmod 711 "$SOCKETS"
    echo "$SOCKETS" >"$RUN_DIR/sockets"
  fi
}

remove_sockets() {
  rm -f "$RUN_DIR/ports"
  [ -s "$RUN_DIR/sockets" ] || return 0
  rm -rf "$(cat "$RUN_DIR/sockets")"
  # Debian 11's Consul leaves this empty folder behind.
  rmdir "$(dirname "$(cat "$RUN_DIR/sockets")")/consul-test" 2>/dev/null
  rm -f "$RUN_DIR/sockets"
}

# shellcheck source=deploy/local/stores.sh
. "${BASH_SOURCE[0]%/*}/stores.sh"
