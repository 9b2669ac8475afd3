# shellcheck shell=bash
# The accounts and items of tests/bench/run. Sourced, not run. Expects WORK, BULKHEAD_URL, BULKHEAD_PG and BULKHEAD_PG_BIN.

api() { curl -sf --noproxy '*' "$BULKHEAD_URL$1" -H 'Content-Type: application/json' -d "$2"; }
member() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p"; }

# Accounts that own the items: $WORK/callers gets a line with id and access token for each.
sign_up_callers() {
  local n id token account
  for n in $(seq "$1"); do
    account="\"email\":\"bench-$n@example.com\",\"password\":\"correct horse battery\""
    id=$(api /v1/users "{$account,\"displayName\":\"Bench $n\"}" | member id)
    token=$(api /v1/auth/login "{$account}" | member accessToken)
    [ -n "$id" ] && [ -n "$token" ] || die "could not sign up bench-$n@example.com"
    echo "$id $token"
  done >"$WORK/callers"
}

# sign_in COUNT FILE: writes the refresh token of a new session of each of the first accounts, a line each.
sign_in() {
  # shellcheck disable=SC2046  # numbers
  sign_in_for refreshToken $(seq "$1") >"$2"
}
# sign_in_for TOKEN NUMBER...: prints a token of a new session of each of these accounts, refreshToken or accessToken.
sign_in_for() {
  local n token kind=$1
  shift
  for n in "$@"; do
    token=$(api /v1/auth/login "{\"email\":\"bench-$n@example.com\",\"password\":\"correct horse battery\"}" | member "$kind")
    [ -n "$token" ] || die "could not sign in bench-$n@example.com"
    echo "$token"
  done
}

# store_items COUNT: replaces all items.
store_items() {
  local owners
  owners=$(cut -d' ' -f1 "$WORK/callers" | paste -sd,)
  "$BULKHEAD_PG_BIN/psql" -Xq -v ON_ERROR_STOP=1 -d "$BULKHEAD_PG" -v "items=$1" -v "owners={$owners}" \
    -f tests/bench/data.sql || die "could not store the items"
}

# Item ids that the loads on the cache read, all over the table.
collect_ids() {
  "$BULKHEAD_PG_BIN/psql" -XqAt -d "$BULKHEAD_PG" -c "SELECT id FROM item.items ORDER BY md5(id::text) LIMIT $1" >"$WORK/ids"
  [ -s "$WORK/ids" ] || die "there are no items"
}

# write_update_script FILE: a PATCH of the quantity as an UPDATE of one row, as a script for pgbench, on a random item with an even number. It
# sets what the service's update_part sets, and the etag is whatever the row has.
write_update_script() {
  local columns
  columns=$(sed -n '/^-- fragment: item$/,/;$/p' services/item/queries/items.sql | sed '1d; s/;$//' | tr '\n' ' ')
  cat >"$1" <<END
\set n 2 * random(1, $BENCH_ITEMS / 2)
\set quantity random(1, 1000)
UPDATE items SET category = :category, price = :price::numeric, currency = :currency, quantity = :quantity::int,
  attributes = coalesce(:attributes::json, '{}'), revision = revision + 1, update_time = greatest(clock_timestamp(), update_time)
WHERE id = ('00000000-0000-7000-8000-' || lpad(:n::text, 12, '0'))::uuid AND revision = revision
RETURNING $columns;
END
}

# endings_sql COUNT: prints a statement that ends so many sessions, of users who do not exist.
endings_sql() { echo "INSERT INTO endings (user_id, session_id) SELECT gen_random_uuid(), gen_random_uuid() FROM generate_series(1, $1)"; }
# Runs as the auth service would, whose tables are in its schema.
auth_psql() { PGOPTIONS="-c search_path=auth" "$BULKHEAD_PG_BIN/psql" -Xq -v ON_ERROR_STOP=1 -d "$BULKHEAD_PG" "$@"; }
store_endings() { auth_psql -c "$(endings_sql "$1")" || die "could not store what has ended"; }

# Prints an access token of the first account that names no session.
sign_sessionless() {
  local id sealed
  read -r id _ <"$WORK/callers"
  sealed=$(auth_psql -At -c "SELECT encode(sealed, 'hex') FROM signing_keys ORDER BY sign_time NULLS LAST LIMIT 1")
  "$OUT/bin/bench_sign" "$id" "$RUN_DIR/secrets/auth_key" "$sealed"
}
