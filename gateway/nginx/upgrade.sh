# shellcheck shell=sh
# Replaces the gateway's nginx while it serves: the program, the module and the settings may all be others. nginx starts its successor
# itself (USR2) and hands it the listening sockets, so that no connection is refused or lost. Sourced by what starts a gateway,
# bulkhead-gateway and deploy/local/stack.

# children_of PID WORDS: prints the children of a process whose title has these words.
children_of() {
  # shellcheck disable=SC2013  # they are words
  for child in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
    # It may end meanwhile.
    ! (tr '\0' ' ' <"/proc/$child/cmdline" | grep -q -- "$2") 2>/dev/null || echo "$child"
  done
}

# serves PID: tells whether all workers of an nginx take clients, and there are some. They say so in their titles.
serves() {
  [ -n "$(children_of "$1" 'worker process serves clients')" ] && [ -z "$(children_of "$1" 'worker process *$')" ]
}

# start_successor PID: starts the nginx that takes over from this one, and sets `successor` once its workers serve. Where that fails, no
# successor is left, and this one goes on.
start_successor() {
  successor='' tries=0
  kill -USR2 "$1" || return 1
  while [ "$tries" -lt 600 ] && kill -0 "$1" 2>/dev/null; do
    before=$successor
    successor=$(children_of "$1" 'master process')
    if [ -n "$successor" ]; then
      ! serves "$successor" || return 0
    elif [ -n "$before" ] || [ "$tries" -gt 40 ]; then
      # It has ended by itself, or none has come within two seconds.
      return 1
    fi
    tries=$((tries + 1))
    sleep 0.05
  done
  [ -z "$successor" ] || kill -TERM "$successor"
  return 1
}
