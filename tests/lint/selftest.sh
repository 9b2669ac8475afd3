#!/usr/bin/env bash
# Shows that each lint can fail: on a small good tree it must pass, and with one bad file in it, it must say where and
# what is bad. A lint that misses a fault, or that cries over the good tree, fails here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
cases=0
# write PATH: standard input becomes that file of the tree.
write() {
  mkdir -p "$(dirname "$work/tree/$1")"
  cat >"$work/tree/$1"
}

good_tree() {
  rm -rf "$work/tree"
  mkdir -p "$work/tree"
  cp "$here/../../.clang-format" "$here/../../.clang-tidy" "$work/tree/"
  write common/base/slice.h <<'C'
#ifndef SLICE_H
#define SLICE_H
#include <stddef.h>
struct slice {
  const char *data;
  size_t size;
};
size_t slice_size(struct slice a);
#endif
C
  write common/base/slice.c <<'C'
#include "common/base/slice.h"

// Nothing but a fact: strcpy( in a comment, "SELECT 1", system().
size_t slice_size(struct slice a)
{
  return a.size;
}
C
  write common/observe/metrics.def <<'C'
METRIC(CALLS, COUNTER, "bulkhead_calls_total", "", "Calls, with \"quotes\".")
C
  write common/rpc/rpc.h <<'C'
#include "common/base/slice.h"
C
  write common/storage/pg.h <<'C'
#include "common/base/slice.h"
C
  write services/item/item_cache.h <<'C'
#include "common/base/slice.h"
C
  write common/base/slots_internal.h <<'C'
#include <stddef.h>
C
  write common/base/alone.h <<'C'
#include <stddef.h>
C
  write services/item/item_state.h <<'C'
#include "common/storage/pg.h"
C
  write services/item/main.c <<'C'
#include "common/rpc/rpc.h"
struct setting {
  const char *name, *help;
};
static const struct setting table[] = {
    {.name = "ITEM_CACHE_BYTES", .help = "Memory for items."},
};
int main(void)
{
  return (int)(sizeof table / sizeof table[0]) - 1;
}
C
  write services/item/item_handlers.c <<'C'
#include "common/base/slice.h"
C
  write services/item/queries/items.sql <<'SQL'
-- name: get :one
SELECT id FROM items WHERE id = :id::uuid;
SQL
  write services/item/README.md <<'MD'
# The item service
See [the top](../../README.md#how-it-runs).
MD
  write services/item/migrations/0001_items.up.sql <<<'CREATE TABLE items (id uuid);'
  write services/item/migrations/0001_items.down.sql <<<'DROP TABLE items;'
  write README.md <<'MD'
# Bulkhead
## How it runs
[item](services/item/), [here](#bulkhead), `[not](a-link)`
MD
  write deploy/local/run.sh <<'SH'
#!/bin/sh
echo "$1"
SH
}

run_lint() {
  LINT_ROOT="$work/tree" LINT_OUT="$work/out" "$here/$1.sh" >"$work/said" 2>&1
}

must_pass() {
  cases=$((cases + 1))
  if ! run_lint "$1"; then
    printf 'tests/lint/%s.sh:1: fails on the good tree:\n' "$1"
    sed 's/^/  /' "$work/said"
    failures=$((failures + 1))
  fi
}

# must_find LINT PATH WANTED: with standard input as PATH, the lint fails and a line of it begins with WANTED.
must_find() {
  cases=$((cases + 1))
  good_tree
  write "$2"
  if run_lint "$1"; then
    printf 'tests/lint/%s.sh:1: passes over "%s"\n' "$1" "$3"
    failures=$((failures + 1))
  elif ! grep -qF -- "$3" "$work/said"; then
    printf 'tests/lint/%s.sh:1: does not say "%s" but:\n' "$1" "$3"
    sed 's/^/  /' "$work/said"
    failures=$((failures + 1))
  fi
}

good_tree
for lint in layers banned comments format docs shell cppcheck tidy; do must_pass "$lint"; done

must_find layers common/base/x.c 'common/base/x.c:1: common/base may not include common/rpc' <<<'#include "common/rpc/rpc.h"'
must_find layers common/rpc/x.c 'common/rpc/x.c:2: common/rpc may not include common/storage' <<'C'
/* one line before */
#include "common/storage/pg.h"
C
must_find layers common/rpc/x.c 'common/rpc/x.c:1: common/rpc may not include services/item' <<<'#include "services/item/item_cache.h"'
must_find layers common/rpc/x.c 'x.c:1: <libpq-fe.h> is for common/storage only' <<<'#include <libpq-fe.h>'
must_find layers services/item/x.c 'x.c:1: <nng/nng.h> is for common/rpc only' <<<'#include <nng/nng.h>'
must_find layers gateway/x.c 'x.c:1: <ngx_core.h> is for gateway/nginx only' <<<'#include <ngx_core.h>'
must_find layers gateway/x.c 'x.c:1: gateway may not include common/storage' <<<'#include "common/storage/pg.h"'
must_find layers common/base/x.c 'x.c:1: <bzlib.h> is of no vendor' <<<'#include <bzlib.h>'
must_find layers common/rpc/rpc.h 'common/rpc/rpc.h:1: other folders include this header, and it brings <nng/nng.h>' <<<'#include <nng/nng.h>'
must_find layers common/base/x.c 'x.c:1: includes are paths from the root' <<<'#include "../base/slice.h"'
must_find layers common/base/x.c 'x.c:1: "slice.h" is no header of the tree' <<<'#include "slice.h"'
must_find layers services/item/x.c 'x.c:1: the contract of user may be included from item_peers.c only' <<<'#include "user/v1/user.bh.h"'
must_find layers services/item/item_handlers.c 'item_handlers.c:1: handlers know no storage' <<<'#include "common/storage/pg.h"'
must_find layers common/rpc/x.c 'x.c:1: "common/base/slots_internal.h" is for common/base only' <<'C'
#include "common/base/slots_internal.h"
C
must_find layers services/item/item_rules.h 'item_rules.h:1: rules are pure: "services/item/item_state.h" leads to "common/storage/pg.h"' <<'C'
#include "services/item/item_state.h"
C
must_find layers common/base/x.c 'common/base/alone.h:1: no other folder includes this header' <<<'#include "common/base/alone.h"'
must_find layers services/item/x.c 'x.c:1: SQL belongs into services/NAME/queries' <<<'const char *q = "SELECT 1";'
must_find layers Makefile 'Makefile:1: base is linked with rpc' <<<'USES_base := rpc'

must_find banned common/base/x.c 'x.c:1: strcpy is banned' <<<'void f(char *a) { strcpy(a, "b"); }'
must_find banned common/base/x.c 'x.c:1: system is banned' <<<'int f(void) { return system ("ls"); }'
must_find banned common/base/x.c 'x.c:1: no typedef' <<<'typedef struct a a_t;'
must_find banned common/base/x.c 'x.c:1: unfinished work' <<<'// TODO: later'
must_find banned tests/unit/base/x.c 'x.c:1: wait for an event' <<<'void f(void) { usleep(5); }'
must_find banned common/base/x.c 'x.c:1: the line has more than 120 columns' < <(printf '// %0130d\n' 0)
must_find banned common/base/x.c 'x.c:501: the file has more than 500 lines' < <(yes '//' | head -n 600)

must_find comments common/base/x.c 'x.c:1: a section marker is' <<<'// ---- torn'
must_find comments common/base/x.c 'x.c:1: a section marker is' <<<'// --------------------'
must_find comments common/base/x.c 'x.c:2: a blank line follows' <<<$'\n// ---- title ----\nint x;'
must_find comments common/base/x.c 'x.c:2: a blank line stands before' <<<$'int x;\n// ---- title ----\n'
must_find comments deploy/local/run.sh 'run.sh:2: a section marker is' <<<$'#!/bin/sh\n# Redis -----------\necho "$1"'
must_find comments common/base/x.c 'x.c:1: begin a comment with its subject' <<<'// They leave at once.'
must_find comments common/base/x.c 'x.c:1: "anew" is not plain' <<<'// Connects anew.'
must_find comments README.md 'README.md:1: write "because"' <<<'// Waits, for it may come.'

must_find format common/base/x.c 'x.c:1: is not as clang-format' <<<'int   x ;'

must_find docs notes.txt 'notes.txt:1: does not belong on the top level' <<<'x'
must_find docs deploy/x.conf 'x.conf:2: a path or an address of one machine' <<<$'ok\nroot /home/somebody/x;'
must_find docs services/item/settings.c 'settings.c:2: a setting without help' <<'C'
const struct setting table[] = {
    {.name = "ITEM_X", .help = ""},
};
C
must_find docs common/observe/metrics.def 'metrics.def:1: a metric without' <<<'METRIC(CALLS, COUNTER, "bulkhead_calls_total", "", "")'
must_find docs common/observe/metrics.def 'metrics.def:1: the name of a counter' <<<'METRIC(CALLS, COUNTER, "bulkhead_calls", "", "Calls.")'
must_find docs README.md 'README.md:1: the link to none.md leads nowhere' <<<'[x](none.md)'
must_find docs README.md 'README.md:2: README.md has no heading #none' <<<$'# Bulkhead\n[x](#none)\n## How it runs'
must_find docs services/auth/audit_actions.def 'audit_actions.def:1: nothing writes x.y' <<<'ACTION("x.y")'
must_find docs services/item/migrations/0002_x.up.sql '0002_x.up.sql:1: there is no .down.sql' <<<'SELECT 1;'
must_find docs README.md 'README.md:2: make unit-base TEST=none* chooses no test' <<<$'# Bulkhead\n`make unit-base TEST=none*`\n## How it runs'
must_find docs services/user/main.c 'services/user/main.c:1: services/user has no user_handlers.c' <<<'int x;'

must_find shell deploy/local/run.sh 'run.sh:2:' <<<$'#!/bin/sh\necho $1'
must_find shell deploy/local/tool 'tool:2:' <<<$'#!/usr/bin/env bash\ncd $1'

must_find cppcheck common/base/x.c 'common/base/x.c:4: arrayIndexOutOfBounds' <<'C'
int f(void)
{
  int a[2] = {0, 1};
  return a[2];
}
C

must_find tidy common/base/x.c 'common/base/x.c:5: Dereference of null pointer' <<'C'
int f(int a);
int f(int a)
{
  int *p = a > 3 ? &a : 0;
  return *p;
}
C
must_find tidy common/base/x.c 'common/base/x.c:1: function' < <(
  printf 'int f(int a)\n{\n'
  yes '  a++;' | head -n 70
  printf '  return a;\n}\n'
)
must_find tidy common/base/x.c 'common/base/x.c:1: expected expression' <<<'int f(void) { return }'
must_find tidy common/base/x.c 'common/base/x.c:1: does not compile' <<<'#include "common/base/none.h"'

if [ "$failures" -gt 0 ]; then
  printf 'lint selftest: %d findings\n' "$failures"
  exit 1
fi
printf 'lint selftest: ok, %d cases\n' "$cases"
