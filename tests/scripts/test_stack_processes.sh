#!/usr/bin/env bash
# Processes of the local stack: a stop that was asked for is told from an accident, whatever the moment; a script that launches
# servers for a test takes them along when it dies; what a test leaves in its session is ended.
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
ROOT=$PWD
# shellcheck source=deploy/local/lib.sh
. "$ROOT/deploy/local/lib.sh"
RUN_DIR=$folder
prepare_run_dir
watcher=

tidy_up() {
  [ -z "$watcher" ] || kill "$watcher" 2>/dev/null
  halt sleeper KILL 5
  remove_sockets
}

is_gone() { ! kill -0 "$1" 2>/dev/null; }
runs_as_sleep() { [ "$(cat "/proc/$(pid_of "$1")/comm" 2>/dev/null)" = sleep ]; }

restarts_are_no_accidents() {
  local round
  launch sleeper sleep 600
  # As watch_over does, but without a pause.
  while :; do
    if has_died sleeper; then
      touch "$RUN_DIR/accident"
      break
    fi
  done &
  watcher=$!
  for round in 1 2 3 4 5 6 7 8; do
    halt sleeper TERM 5
    launch sleeper sleep 600
  done
  [ ! -e "$RUN_DIR/accident" ] || fail "a restart was taken for an accident (round $round or before)"
  kill -KILL "$(pid_of sleeper)"
  wait_until "the report of an accident" test -e "$RUN_DIR/accident"
  wait "$watcher"
  watcher=
}

a_stopper_that_died_hides_nothing() {
  launch sleeper sleep 600
  (announce_stop sleeper)
  has_died sleeper && fail "a process that runs has died"
  kill -KILL "$(pid_of sleeper)"
  wait_until "the end of the sleeper" is_gone "$(cut -d' ' -f1 "$RUN_DIR/pids/sleeper")"
  has_died sleeper || fail "the announcement of a script that has ended still hides an accident"
}

the_report_of_an_accident_says_how_it_ended() {
  local said
  launch sleeper sleep 600
  kill -KILL "$(pid_of sleeper)"
  wait_until "the end of the killed sleeper" has_died sleeper
  said=$(report_end_of sleeper 2>&1)
  case $said in *"by the signal KILL (9)"*) ;; *) fail "the report does not name the signal: $said" ;; esac
  launch sleeper sh -c "exit 3"
  wait_until "the end of the failing sleeper" has_died sleeper
  said=$(report_end_of sleeper 2>&1)
  case $said in *"with exit status 3"*) ;; *) fail "the report does not name the exit status: $said" ;; esac
  rm -f "$RUN_DIR/pids/sleeper"
}

what_is_shown_of_a_failed_start_is_of_this_run() {
  local said run
  for run in first second; do
    launch sleeper sh -c "echo what the $run run says"
    wait_until "the end of the $run run" is_gone "$(cut -d' ' -f1 "$RUN_DIR/pids/sleeper")"
    said=$(wait_for sleeper 1 "a sleeper" false 2>&1)
    case $said in *"what the $run run says"*) ;; *) fail "the log of the $run run is not shown: $said" ;; esac
  done
  case $said in *first*) fail "the second run shows what the first one said: $said" ;; esac
  # A log that was emptied or rotated is shown from its beginning.
  echo short >"$RUN_DIR/log/sleeper.log"
  said=$(wait_for sleeper 1 "a sleeper" false 2>&1)
  case $said in *short*) ;; *) fail "the log is not shown after it was emptied: $said" ;; esac
  rm -f "$RUN_DIR/pids/sleeper"
}

servers_of_a_test_die_with_it() {
  local pid
  (
    DIE_WITH_US=KILL
    launch orphan sleep 600
    # The kernel knows what to send only from the moment when setpriv has asked for it.
    wait_until "the start of the server" runs_as_sleep orphan
  )
  pid=$(cut -d' ' -f1 "$RUN_DIR/pids/orphan")
  wait_until "the end of a server whose script has died" is_gone "$pid"
}

sessions_end_with_all_their_workers() {
  local leader worker
  # The leader ends by itself; its worker ignores what it is asked.
  # shellcheck disable=SC2016 # the inner bash expands it
  setsid bash -c 'trap "" TERM; sleep 600 & echo $! >"$1"' worker "$RUN_DIR/worker" &
  leader=$!
  wait "$leader"
  worker=$(cat "$RUN_DIR/worker")
  is_gone "$worker" && fail "the worker did not outlive its leader, so nothing is tested"
  end_session "$leader" 0
  wait_until "the end of the worker" is_gone "$worker"
}

# Ctrl-C in `make run | tee FILE` ends tee, too: what the stack says from then on must not end it before its servers.
words_that_nobody_reads_end_nothing() {
  local speaker
  mkfifo "$RUN_DIR/reader"
  (
    exec 2>"$RUN_DIR/reader"
    wait_until "the end of the reader" test -e "$RUN_DIR/reader_is_gone"
    say "stopping"
    touch "$RUN_DIR/said"
  ) &
  speaker=$!
  : <"$RUN_DIR/reader"
  touch "$RUN_DIR/reader_is_gone"
  wait "$speaker"
  [ -e "$RUN_DIR/said" ] || fail "a script ended because nobody read what it said"
}

restarts_are_no_accidents
a_stopper_that_died_hides_nothing
the_report_of_an_accident_says_how_it_ended
what_is_shown_of_a_failed_start_is_of_this_run
servers_of_a_test_die_with_it
sessions_end_with_all_their_workers
words_that_nobody_reads_end_nothing
echo "ok"
