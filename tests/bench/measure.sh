# shellcheck shell=bash
# How tests/bench/run measures: runs loads in turns, reads what their tools print, and adds up the CPU of the servers.
# Sourced, not run. Expects WORK, RUN_DIR, SECONDS_EACH, ROUNDS, CONNECTIONS, constant_pid and pg_host.
# shellcheck disable=SC2034,SC2153,SC2154  # the names above, and the results
#
# A load is the function load_NAME, which prints what its tool TOOL[NAME] says. Where there is a function prepare_NAME, it
# runs before, and is not measured. NAME@32 is the same with 32 connections; the
# function finds their number in $connections.

# ---- CPU ----

# family NAME...: prints the pids of processes of the stack and of their children.
family() {
  local name leader
  for name in "$@"; do
    read -r leader _ 2>/dev/null <"$RUN_DIR/pids/$name" && echo "$leader" && pgrep -P "$leader"
  done
}

# Prints the clock ticks that the processes on its input have used, with those of their children that have ended.
ticks() {
  local pid
  while read -r pid; do
    cat "/proc/$pid/stat" 2>/dev/null
  done | awk '{sub(/.*\) /, ""); sum += $12 + $13 + $14 + $15} END {printf "%d", sum}'
}

# shellcheck disable=SC2046  # names of processes
our_ticks() { family $(cd "$RUN_DIR/pids" && echo gateway* auth-* user-* item-*) | ticks; }
postgres_ticks() { family postgres | ticks; }
redis_ticks() { family redis | ticks; }
constant_ticks() { (echo "$constant_pid" && pgrep -P "$constant_pid") | ticks; }

# per_thousand TICKS REQUESTS: prints the ms of CPU for 1,000 requests.
per_thousand() { awk -v t="$1" -v n="$2" -v hz="$(getconf CLK_TCK)" 'BEGIN {printf "%.1f", n ? t / hz * 1e6 / n : 0}'; }

# per_second TICKS REQUESTS: prints how many requests a second of CPU is enough for.
per_second() { awk -v t="$1" -v n="$2" -v hz="$(getconf CLK_TCK)" 'BEGIN {printf "%d", t ? n * hz / t : 0}'; }

# ---- tools ----

# Each sets now_rate, now_requests, now_p50, now_p99 and now_failures. Times end with their unit. A connection that broke or a
# request that was not answered in time is a failure, too.
read_wrk() {
  now_rate=$(awk '/Requests\/sec/ {printf "%d", $2}' "$1")
  now_requests=$(awk '/requests in/ {print $1}' "$1")
  now_p50=$(awk '/^ *50%/ {print $2}' "$1")
  now_p99=$(awk '/^ *99%/ {print $2}' "$1")
  now_failures=$(awk '/Non-2xx/ {sum += $NF} /Socket errors:/ {gsub(/[^0-9 ]/, ""); sum += $1 + $2 + $3 + $4} END {print sum + 0}' "$1")
}
read_h2load() {
  now_rate=$(awk '/^finished in/ {printf "%d", $4}' "$1")
  now_requests=$(awk '/^requests:/ {print $2}' "$1")
  now_p50=$(awk '/^time for request:/ {print $6 "_(mean)"}' "$1")
  now_p99=$(awk '/^time for request:/ {print $5 "_(max)"}' "$1")
  now_failures=$(awk '/^status codes:/ {sum += $5 + $7 + $9} /^requests:/ {sum += $10 + $12 + $14} END {print sum + 0}' "$1")
}
# The times come from the log of every tenth transaction, $WORK/pgbench-log.PID.
read_pgbench() {
  local times=$WORK/pgbench-times
  now_rate=$(awk '/^tps/ {printf "%d", $3}' "$1")
  now_requests=$(awk '/actually processed/ {split($NF, n, "/"); print n[1]}' "$1")
  now_failures=$(awk '/failed transactions/ {print $5}' "$1")
  awk '{print $3}' "$WORK"/pgbench-log.* | sort -n >"$times"
  now_p50=$(quantile 0.50 "$times")
  now_p99=$(quantile 0.99 "$times")
}

# quantile SHARE FILE: prints it of sorted microseconds, as wrk prints times.
quantile() {
  awk -v q="$1" '{all[NR] = $1} END {t = all[int((NR - 1) * q) + 1]; if (t < 1000) print t "us"; else printf "%.2fms", t / 1000}' "$2"
}

# run_pgbench OPTION...: for SECONDS_EACH, with times for read_pgbench.
run_pgbench() {
  rm -f "$WORK"/pgbench-log.*
  "$BULKHEAD_PG_BIN/pgbench" -n -h "$pg_host" -U postgres -M prepared -T "$SECONDS_EACH" \
    --log --log-prefix="$WORK/pgbench-log" --sampling-rate=0.1 "$@"
}

# ---- loads ----

# load NAME: runs it once. Sets what read_TOOL sets, and the ms of CPU for 1,000 requests: now_ours (the gateway and the
# services), now_postgres, now_redis, now_nginx (what answers the constant). Failures cost less than answers, so a load
# with more than one in a thousand has measured nothing.
load() {
  local base=${1%@*} connections=${1#*@} out=$WORK/$1.out ours postgres redis nginx
  [ "$connections" != "$1" ] || connections=$CONNECTIONS
  ! declare -F "prepare_$base" >/dev/null || "prepare_$base"
  ours=$(our_ticks) postgres=$(postgres_ticks) redis=$(redis_ticks) nginx=$(constant_ticks)
  "load_$base" >"$out" 2>&1 || die "$1: $(tail -n 5 "$out")"
  ours=$(($(our_ticks) - ours)) postgres=$(($(postgres_ticks) - postgres)) redis=$(($(redis_ticks) - redis))
  nginx=$(($(constant_ticks) - nginx))
  "read_${TOOL[$base]}" "$out"
  now_ours=$(per_thousand $ours "$now_requests")
  now_postgres=$(per_thousand $postgres "$now_requests")
  now_redis=$(per_thousand $redis "$now_requests")
  now_nginx=$(per_thousand $nginx "$now_requests")
  [ "${now_failures:-0}" = 0 ] || say "  $1: $now_failures of $now_requests requests failed"
  [ $((${now_failures:-0} * 1000)) -le "$now_requests" ] || die "$1: too many requests failed; see $out and $RUN_DIR/log"
}

# mean NUMBER...
mean() { printf '%s\n' "$@" | awk '{s += $1} END {printf "%.1f", s / NR}'; }
# microseconds TIME: prints a time with its unit as a number.
microseconds() { awk -v t="$1" 'BEGIN {n = t + 0; if (t ~ /us/) print n; else if (t ~ /ms/) print n * 1000; else print n * 1000000}'; }
# median TIME...: prints one of them, as it was.
median() {
  local time
  for time in "$@"; do echo "$(microseconds "$time") $time"; done | sort -n |
    awk '{line[NR] = $2} END {print line[int((NR + 1) / 2)]}'
}

# in_turns NAME...: each load once a round. Sets rate, ours, postgres, redis and nginx (means), p50 and p99 (medians) of each
# NAME.
declare -A rate ours postgres redis nginx p50 p99
in_turns() {
  local name
  local -A rates=() p50s=() p99s=() our=() pg=() cache=() constant=()
  for _ in $(seq "$ROUNDS"); do
    for name in "$@"; do
      load "$name"
      rates[$name]+=" $now_rate" p50s[$name]+=" $now_p50" p99s[$name]+=" $now_p99"
      our[$name]+=" $now_ours" pg[$name]+=" $now_postgres" cache[$name]+=" $now_redis" constant[$name]+=" $now_nginx"
    done
  done
  for name in "$@"; do
    # shellcheck disable=SC2086  # lists of words
    rate[$name]=$(mean ${rates[$name]}) p50[$name]=$(median ${p50s[$name]}) p99[$name]=$(median ${p99s[$name]})
    # shellcheck disable=SC2086
    ours[$name]=$(mean ${our[$name]}) nginx[$name]=$(mean ${constant[$name]})
    # shellcheck disable=SC2086
    postgres[$name]=$(mean ${pg[$name]}) redis[$name]=$(mean ${cache[$name]})
  done
}

# ---- memory ----

# memory_of NAME...: prints each process's name and resident MB, a line each.
memory_of() {
  local name pid
  for name in "$@"; do
    for pid in $(family "$name"); do
      awk -v n="$name" '/^VmRSS/ {printf "%s %.1f\n", n, $2 / 1024}' "/proc/$pid/status" 2>/dev/null
    done
  done
}

# most_memory_of NAME...: prints the most resident MB that one of the processes has had.
most_memory_of() {
  local pid
  for pid in $(family "$@"); do
    cat "/proc/$pid/status" 2>/dev/null
  done | awk '/^VmHWM/ && $2 > most {most = $2} END {printf "%.1f", most / 1024}'
}
