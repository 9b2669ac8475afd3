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

# write_update_script FILE: the UPDATE with which the item service carries out a PATCH of the quantity, as a script for pgbench, on a random item
# with an even number. As the service does, it sends all fields of the statement; the etag is whatever the row has.
write_update_script() {
  local queries=services/item/queries/items.sql columns
  columns=$(sed -n '/^-- fragment: item$/,/;$/p' "$queries" | sed '1d; s/;$//' | tr '\n' ' ')
  {
    echo "\\set n 2 * random(1, $BENCH_ITEMS / 2)"
    echo '\set quantity random(1, 1000)'
    sed -n '/^-- name: update_part /,/;$/p' "$queries" | sed -e '/^--/d' -e "s/{item}/$columns/" \
      -e "s/:item\.id::uuid/('00000000-0000-7000-8000-' || lpad(:n::text, 12, '0'))::uuid/" \
      -e "s/:item\.sku/('sku-' || :n::text)/" -e 's/:item\.etag::bigint/revision/' -e 's/:item\.\([a-z_]*\)?*/:\1/g'
  } >"$1"
}
