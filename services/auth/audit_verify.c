#include "services/auth/audit_verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/codec.h"
#include "common/service/service.h"
#include "services/auth/audit_chain.h"
#include "services/auth/auth_seals.h"

#define PAGE 1000
// Problems that are printed; the others are counted.
#define MOST_PRINTED 20

// What an earlier run has printed: the chain had this hash at this position.
struct kept_head {
  int64_t position;  // 0: none was given
  struct audit_hash hash;
};

// A walk along the chain.
struct walk {
  struct audit_chain chain;
  struct query_db db;
  struct audit_head head;
  struct kept_head kept;
  int64_t position;  // of the last link that was read
  struct audit_hash hash;
  size_t problems;
};

static void PRINTF_LIKE(2, 3) report(struct walk *walk, const char *format, ...)
{
  va_list args;
  walk->problems++;
  if (walk->problems > MOST_PRINTED)
    return;
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
}

static bool read_kept(const char *text, struct kept_head *kept)
{
  struct slice all = slice_from_string(text);
  size_t colon = slice_find(all, ':', 0);
  return colon < all.size && slice_to_int64(slice_make(all.data, colon), 1, INT64_MAX, &kept->position) &&
         hex_decode(slice_skip(all, colon + 1), kept->hash.bytes, sizeof(kept->hash.bytes));
}

static void check_kept(struct walk *walk)
{
  if (walk->kept.position == walk->position && !audit_hash_equal(&walk->kept.hash, &walk->hash))
    report(walk, "position %lld: the hash is not the one that was given, so the chain was made again since\n",
           (long long)walk->position);
}

static void check_link(struct walk *walk, const struct auth_db_walk_audit_chain_row *row)
{
  if (row->position != walk->position + 1)
    report(walk, "positions %lld to %lld: the links are missing\n", (long long)walk->position + 1,
           (long long)row->position - 1);
  const struct audit_record record = {.columns = row->columns, .count = row->columns_count};
  struct audit_hash expected = audit_link_hash(&walk->hash, row->position, &record);
  bool is_whole = row->hash.size == sizeof(walk->hash.bytes);
  if (record.count == 0)
    report(walk, "position %lld: the event %s is missing\n", (long long)row->position, row->event_id);
  else if (!is_whole || memcmp(row->hash.data, expected.bytes, sizeof(expected.bytes)) != 0)
    report(walk, "position %lld: the event %s, or its link, was changed\n", (long long)row->position, row->event_id);
  // What follows rests on the hash as it is stored: a change shows where it is.
  walk->position = row->position;
  if (is_whole)
    memcpy(walk->hash.bytes, row->hash.data, row->hash.size);
  check_kept(walk);
}

static enum status walk_page(struct walk *walk, size_t *count)
{
  struct arena arena;
  arena_init(&arena);
  struct auth_db_walk_audit_chain_row *rows = NULL;
  const struct auth_db_walk_audit_chain_params params = {.after = walk->position, .most = PAGE};
  enum status status = auth_db_walk_audit_chain(walk->db, &params, &arena, &rows, count);
  for (size_t i = 0; i < *count && status == STATUS_OK; i++)
    check_link(walk, &rows[i]);
  arena_free(&arena);
  return status;
}

static void check_end(struct walk *walk)
{
  if (walk->position != walk->head.last)
    report(walk, "the chain ends at position %lld, and its signed head says %lld\n", (long long)walk->position,
           (long long)walk->head.last);
  else if (!audit_hash_equal(&walk->hash, &walk->head.hash))
    report(walk, "position %lld: the hash is not that of the signed head\n", (long long)walk->position);
  if (walk->kept.position > walk->head.last)
    report(walk, "the position %lld that was given is behind the end of the chain\n", (long long)walk->kept.position);
}

static enum status check_outside(struct walk *walk)
{
  struct arena arena;
  arena_init(&arena);
  struct auth_db_count_audit_events_outside_row row = {0};
  enum status status = auth_db_count_audit_events_outside(walk->db, &arena, &row);
  arena_free(&arena);
  if (status == STATUS_OK && row.lost > 0)
    report(walk, "%lld events are not in the chain, and nothing will add them\n", (long long)row.lost);
  if (status == STATUS_OK && row.pending > 0)
    printf("%lld events are not chained yet; a running service does so within seconds\n", (long long)row.pending);
  return status;
}

static void print_result(const struct walk *walk)
{
  char hash[AUDIT_HASH_TEXT_SIZE];
  if (walk->problems > MOST_PRINTED)
    printf("and %zu more\n", walk->problems - MOST_PRINTED);
  if (walk->problems > 0)
    return;
  const long long first = walk->head.first, last = walk->head.last;
  printf("%lld events are as they were written: positions %lld to %lld\n", last - first + 1, first, last);
  if (walk->kept.position > 0 && walk->kept.position < walk->head.first)
    printf("position %lld was removed because of its age, so it could not be compared\n",
           (long long)walk->kept.position);
  audit_hash_text(&walk->hash, hash);
  if (walk->head.last > 0)
    printf("%lld:%s\n", (long long)walk->head.last, hash);
}

// Walks within a transaction that keeps the service from chaining and forgetting meanwhile.
static enum status walk_all(struct walk *walk, struct arena *arena, struct error *error)
{
  struct auth_db_lock_audit_chain_row lock;
  enum status status = auth_db_lock_audit_chain(walk->db, arena, &lock);
  if (status == STATUS_OK)
    status = audit_chain_read_head(&walk->chain, walk->db, arena, &walk->head);
  if (status == STATUS_FAILED_PRECONDITION)
    return error_set(error, status, "the last head of the chain was not signed by this service, so nothing is proven");
  walk->position = walk->head.first - 1;
  walk->hash = walk->head.anchor;
  for (size_t count = PAGE; status == STATUS_OK && count == PAGE;)
    status = walk_page(walk, &count);
  if (status == STATUS_OK) {
    check_end(walk);
    status = check_outside(walk);
  }
  if (status != STATUS_OK)
    return error_set(error, status, "the audit log could not be read: %s", status_name(status));
  print_result(walk);
  if (walk->problems > 0)
    return error_set(error, STATUS_DATA_LOSS, "the audit log is not as it was written: %zu problems", walk->problems);
  return STATUS_OK;
}

static enum status verify(struct service *service, struct walk *walk, struct error *error)
{
  struct arena arena;
  arena_init(&arena);
  struct pg_tx *tx = NULL;
  enum status status = auth_seals_check(service_settings(service), error);
  if (status == STATUS_OK)
    status = audit_chain_init(&walk->chain, service, error);
  if (status == STATUS_OK && (status = pg_begin(service_pg(service), &tx)) != STATUS_OK)
    (void)error_set(error, status, "the database refused: %s", status_name(status));
  walk->db = query_in(tx);
  if (status == STATUS_OK)
    status = walk_all(walk, &arena, error);
  pg_rollback(&tx);
  audit_chain_free(&walk->chain);
  arena_free(&arena);
  return status;
}

enum status audit_verify_run(struct service *service, int argc, char **argv, struct error *error)
{
  struct walk walk = {0};
  if (strcmp(argv[0], "verify") != 0)
    return error_set(error, STATUS_INVALID_ARGUMENT, "the sub-command is %s; known is: verify", argv[0]);
  if (argc == 2 && !read_kept(argv[1], &walk.kept))
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "%s is no position with its hash; give the last line that an earlier run has printed", argv[1]);
  return verify(service, &walk, error);
}
