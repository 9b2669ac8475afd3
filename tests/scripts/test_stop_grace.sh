#!/usr/bin/env bash
# Who stops a process in good order waits longer than the longest call of the contracts takes: docker-compose.yml, the local stack. Streams
# do not count: a process that ends ends them earlier.
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
# What a process does after its last call: see lifecycle.c and module.c.
AFTER_CALLS_S=12

longest=$(awk '/^ *rpc / { streams = /stream / } !streams && sub(/.*[^_]timeout_ms: */, "") { print $0 + 0 }' proto/*/v1/*.proto | sort -n | tail -n 1)
least=$((longest / 1000 + AFTER_CALLS_S))

# grace_of BLOCK: prints the seconds of stop_grace_period in a block of docker-compose.yml.
grace_of() {
  awk -v block="$1" '/^[a-z]/ { part = name = $1 } part == "services:" && /^  [a-z]/ { name = $1 }
    name == block && $1 == "stop_grace_period:" { print $2 + 0 }' docker-compose.yml
}
for block in x-service: gateway:; do
  grace=$(grace_of "$block")
  [ "${grace:-0}" -ge "$least" ] ||
    fail "docker-compose.yml kills $block after ${grace:-10} s, but a call may take $longest ms: stop_grace_period must be ${least}s or more"
done
! grep -n DRAIN_TIMEOUT docker-compose.yml || fail "docker-compose.yml repeats how long calls may take"

# The function of the script, without its commands.
# shellcheck disable=SC2034  # it reads this
ROOT=$PWD
eval "$(sed -n '/^longest_call_s() {/,/^}/p' deploy/local/stack)"
[ "$(longest_call_s)" -eq $(((longest + 999) / 1000)) ] || fail "the stack takes $(longest_call_s) s for the longest call, not $longest ms"
echo "ok"
