# shellcheck shell=sh
# Replaces the gateway's nginx while it serves: the program, the module and the settings may all be others. nginx starts its successor
# itself (USR2) and hands it the listening sockets, so that no connection is refused or lost. Sourced by what starts a gateway,
# bulkhead-gateway and deploy/local/stack.

# children_of PID WORDS: prints the children of a process whose title has these words.
children_of() {
  # shellcheck disable=SC2013  # they are words
  for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
    # It may end meanwhile, and so may who reads this: bash says so where SIGPIPE is ignored.
    ! (tr '\0' ' ' <"/proc/$child/cmdline" | grep -q -- "$2") 2>/dev/null || echo "$child" 2>/dev/null
  done
}

# serves PID: tells whether all workers of an nginx take clients, and there are some. They say so in their titles.
serves() {
  [ -n "$(children_of "$1" 'worker process serves clients')" ] && [ -z "$(children_of "$1" 'worker process *$')" ]
}

# successor_of PID PID_FILE: prints the process that nginx' successor has written into the file; nothing before it has.
successor_of() {
  { read -r written <"$2"; } 2>/dev/null || return 0
  [ "$written" = "$1" ] || echo "$written"
}

# has_ended PID PID_FILE TIME: tells whether an upgrade that began after the file's TIME of change has failed. nginx renames its file while
# an upgrade is under way, and gives it back its name once it has seen the successor's end. A reload before that would only add workers.
has_ended() {
  [ "$(stat -c %z "$2" 2>/dev/null || echo "$3")" != "$3" ] && [ ! -e "$2.oldbin" ] && [ "$(cat "$2")" = "$1" ]
}

# end_successor PID PID_FILE: ends the nginx that was to take over from this one, if there is one. Does not wait.
end_successor() {
  successor=$(successor_of "$1" "$2")
  # One that has not come far enough to write the file is the only child that is no worker.
  for child in ${successor:-$(children_of "$1" .)}; do
    children_of "$1" 'worker process' | grep -qx "$child" || kill -TERM "$child"
  done
}

# start_successor PID PID_FILE: starts the nginx that takes over from this one, and sets `successor` once its workers serve. Where that
# fails, no successor is left, and this one goes on.
start_successor() {
  successor='' tries=0
  renamed=$(stat -c %z "$2") && kill -USR2 "$1" || return 1
  while [ "$tries" -lt 600 ] && kill -0 "$1" 2>/dev/null; do
    ! has_ended "$1" "$2" "$renamed" || return 1
    successor=$(successor_of "$1" "$2")
    [ -z "$successor" ] || ! serves "$successor" || return 0
    tries=$((tries + 1))
    sleep 0.05
  done
  end_successor "$1" "$2"
  while [ "$tries" -lt 800 ] && kill -0 "$1" 2>/dev/null && ! has_ended "$1" "$2" "$renamed"; do
    tries=$((tries + 1))
    sleep 0.05
  done
  return 1
}
