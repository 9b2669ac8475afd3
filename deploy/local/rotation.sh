# shellcheck shell=bash
# New passwords for the stores of the local stack while everything runs. Sourced by deploy/local/stack.
# shellcheck disable=SC2153  # services.sh sets SERVICES

# Finishes a rotation of passwords that was interrupted, if there is one.
finish_rotation() {
  local service
  # Files that a killed script was writing.
  rm -f "$RUN_DIR"/secrets/*.[0-9]*
  settle_pg_superuser || return
  for service in "${SERVICES[@]}"; do
    finish_redis "$service" && finish_pg "$service" "$(instance_count "$service")" || return
  done
  finish_redis admin
}

# rotate_passwords [SERVICE]: an interrupted rotation is finished first, whichever service that was for.
rotate_passwords() {
  local service services=("${SERVICES[@]}") unfinished="were not changed, or not all; run this again"
  [ $# -eq 0 ] || services=("$1")
  finish_rotation || die "the passwords of an earlier run, which was interrupted, $unfinished"
  for service in "${services[@]}"; do
    rotate_redis "$service" && rotate_pg "$service" "$(instance_count "$service")" || die "the passwords of $service $unfinished"
    say "$service has new passwords"
  done
  [ $# -eq 0 ] || return 0
  rotate_redis admin && rotate_pg_superuser || die "our own passwords $unfinished"
  say "the administrators have new passwords"
}

finish_rotation_or_say() {
  locked finish_rotation ||
    say "a rotation of passwords that was interrupted is not finished; run rotate-passwords once PostgreSQL and Redis run"
}
