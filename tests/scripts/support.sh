# shellcheck shell=bash
# What each test of scripts begins with: it is at the project's root, has a folder of its own, and can fail and wait. A test that starts
# programs defines tidy_up, which ends them before the folder goes.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
folder=$(mktemp -d /tmp/bulkhead-test.XXXXXX)

tidy_up() { :; }
trap 'tidy_up; rm -rf "$folder"' EXIT

fail() {
  echo "FAIL: $*"
  exit 1
}

# wait_until WHAT COMMAND...: waits until the command succeeds, at most a minute.
wait_until() {
  local what=$1 end=$(($(date +%s) + 60))
  shift
  until "$@"; do
    [ "$(date +%s)" -lt "$end" ] || fail "$what did not come about"
    sleep 0.02
  done
}
