#include "services/auth/audit_chain.h"

#include <stdio.h>
#include <string.h>

#include "auth/queries.bh.h"
#include "common/base/clock.h"
#include "common/observe/log.h"
#include "common/runtime/task.h"
#include "common/security/key.h"
#include "common/service/service.h"
#include "services/auth/auth_seals.h"
#include "services/auth/settings.h"

#define AUDIENCE "audit"
// Heads are not tokens that expire: they are verified as of the end of the year 9999.
#define EXPIRES_S INT64_C(253402300799)
#define VERIFIED_AT_S (EXPIRES_S - 86400)

#define EVERY_MS 1000
#define FORGET_EVERY_MS 60000
#define LIMIT_MS 30000
#define MOST_EVENTS 500
#define MOST_FORGOTTEN 2000

// ---- the key ----

static enum status set_key(struct audit_chain *chain, const char *pem, struct error *error)
{
  struct slice x, y, kid;
  enum status status = key_public_parts(pem, &chain->memory, &x, &y, &kid);
  if (status != STATUS_OK)
    return error_set(error, status, "the stored key of the audit log cannot be used");
  chain->key = (struct token_signing_key){.kid = arena_string(&chain->memory, kid), .private_pem = pem};
  chain->verifier = token_verifier_create(&(struct token_verifier_options){
      .issuer = service_token_issuer(chain->service), .audience = AUDIENCE, .max_cached = 1});
  const struct token_public_key key = {.kid = kid, .x = x, .y = y};
  return token_verifier_set_keys(chain->verifier, &key, 1, error);
}

enum status audit_chain_init(struct audit_chain *chain, struct service *service, struct error *error)
{
  *chain = (struct audit_chain){.service = service, .settings = service_settings(service)};
  arena_init(&chain->memory);
  const char *pem = NULL;
  enum status status = auth_seals_load_audit_key(chain->settings, service_pg(service), &chain->memory, &pem, error);
  return status == STATUS_OK ? set_key(chain, pem, error) : status;
}

void audit_chain_free(struct audit_chain *chain)
{
  token_verifier_free(&chain->verifier);
  arena_free(&chain->memory);
}

// ---- heads ----

static enum status verify_head(const struct audit_chain *chain, const char *token, struct audit_head *head)
{
  const struct token_claims *claims;
  enum token_result result = token_verify(chain->verifier, slice_from_string(token), VERIFIED_AT_S, &claims, NULL);
  bool is_head = result == TOKEN_VALID && audit_head_read(claims->subject, claims->id, claims->session, head);
  return is_head ? STATUS_OK : STATUS_FAILED_PRECONDITION;
}

enum status audit_chain_read_head(const struct audit_chain *chain, struct query_db db, struct arena *arena,
                                  struct audit_head *head)
{
  struct auth_db_get_audit_head_row row;
  enum status status = auth_db_get_audit_head(db, arena, &row);
  if (status == STATUS_OK)
    return verify_head(chain, row.token, head);
  *head = audit_head_of_nothing();
  return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status add_head(const struct audit_chain *chain, struct query_db db, struct arena *arena,
                            const struct audit_head *head)
{
  struct audit_head_words words = audit_head_write(head, arena);
  const struct token_claims claims = {.subject = slice_from_string(words.range),
                                      .id = slice_from_string(words.hash),
                                      .session = slice_from_string(words.anchor),
                                      .issued_at = clock_wall_us() / 1000000,
                                      .expires_at = EXPIRES_S};
  struct slice token;
  enum status status = token_sign(&chain->key, service_token_issuer(chain->service), AUDIENCE, &claims, arena, &token);
  return status == STATUS_OK ? auth_db_add_audit_head(db, arena_string(arena, token), arena) : status;
}

// ---- a batch ----

// Makes sure that the chain ends as its head says. FAILED_PRECONDITION where it does not.
static enum status check_end(struct query_db db, struct arena *arena, const struct audit_head *head)
{
  struct auth_db_get_last_audit_link_row row;
  enum status status = auth_db_get_last_audit_link(db, arena, &row);
  if (status == STATUS_NOT_FOUND)
    return head->last < head->first ? STATUS_OK : STATUS_FAILED_PRECONDITION;
  if (status != STATUS_OK)
    return status;
  bool fits = row.position == head->last && row.hash.size == sizeof(head->hash.bytes) &&
              memcmp(row.hash.data, head->hash.bytes, row.hash.size) == 0;
  return fits ? STATUS_OK : STATUS_FAILED_PRECONDITION;
}

static enum status add_links(struct query_db db, struct arena *arena, struct audit_head *head, size_t *count)
{
  struct auth_db_take_audit_events_row *rows = NULL;
  enum status status = auth_db_take_audit_events(db, MOST_EVENTS, arena, &rows, count);
  if (status != STATUS_OK || *count == 0)
    return status;
  const char **ids = arena_array(arena, *count, sizeof(*ids));
  const char **hashes = arena_array(arena, *count, sizeof(*hashes));
  const int64_t first = head->last + 1;
  for (size_t i = 0; i < *count; i++) {
    const struct audit_record record = {.columns = rows[i].columns, .count = rows[i].columns_count};
    head->hash = audit_link_hash(&head->hash, ++head->last, &record);
    char *text = arena_alloc(arena, AUDIT_HASH_TEXT_SIZE);
    audit_hash_text(&head->hash, text);
    ids[i] = rows[i].id;
    hashes[i] = text;
  }
  const struct auth_db_add_audit_links_params params = {
      .first = first, .event_ids = ids, .event_ids_count = *count, .hashes = hashes, .hashes_count = *count};
  return auth_db_add_audit_links(db, &params, arena);
}

// Removes what is too old from the beginning of the chain, which then begins behind it.
static enum status forget(const struct audit_chain *chain, struct query_db db, struct arena *arena,
                          struct audit_head *head)
{
  const struct auth_db_forget_audit_events_params params = {.keep_ms = chain->settings->audit_keep_ms,
                                                            .most = MOST_FORGOTTEN};
  struct auth_db_forget_audit_events_row row;
  enum status status = auth_db_forget_audit_events(db, &params, arena, &row);
  if (status != STATUS_OK || !row.has_last_position)
    return status;
  if (row.last_hash.size != sizeof(head->anchor.bytes))
    return STATUS_FAILED_PRECONDITION;
  head->first = row.last_position + 1;
  memcpy(head->anchor.bytes, row.last_hash.data, row.last_hash.size);
  return STATUS_OK;
}

// Adds what is pending to the chain, and forgets where that is due. `count` is the number of new links.
static enum status extend(const struct audit_chain *chain, struct query_db db, bool forgets, size_t *count)
{
  struct arena arena;
  arena_init(&arena);
  struct auth_db_try_lock_audit_chain_row lock = {0};
  struct audit_head before = {0};
  enum status status = auth_db_try_lock_audit_chain(db, &arena, &lock);
  bool is_mine = status == STATUS_OK && lock.locked;
  if (is_mine)
    status = audit_chain_read_head(chain, db, &arena, &before);
  if (is_mine && status == STATUS_OK)
    status = check_end(db, &arena, &before);
  struct audit_head head = before;
  if (is_mine && status == STATUS_OK)
    status = add_links(db, &arena, &head, count);
  if (is_mine && status == STATUS_OK && forgets)
    status = forget(chain, db, &arena, &head);
  if (is_mine && status == STATUS_OK && (head.first != before.first || head.last != before.last))
    status = add_head(chain, db, &arena, &head);
  arena_free(&arena);
  return status;
}

static enum status extend_and_commit(const struct audit_chain *chain, bool forgets, size_t *count)
{
  struct pg_tx *tx = NULL;
  *count = 0;
  enum status status = pg_begin(service_pg(chain->service), &tx);
  if (status == STATUS_OK)
    status = extend(chain, query_in(tx), forgets, count);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status;
}

// ---- the background task ----

static bool is_anything_pending(const struct audit_chain *chain)
{
  struct arena arena;
  arena_init(&arena);
  struct auth_db_is_audit_event_pending_row row = {0};
  enum status status = auth_db_is_audit_event_pending(query_on(service_pg(chain->service)), &arena, &row);
  arena_free(&arena);
  return status == STATUS_OK && row.pending;
}

static enum status chain_all(const struct audit_chain *chain, bool forgets)
{
  size_t count = 0;
  do {
    enum status status = extend_and_commit(chain, forgets, &count);
    if (status != STATUS_OK)
      return status;
  } while (count == MOST_EVENTS);
  return STATUS_OK;
}

// Says once that the chain is not what its head says. Events are added meanwhile, but not chained.
static void tell(enum status status, bool *is_broken)
{
  if (status == STATUS_FAILED_PRECONDITION && !*is_broken)
    log_error("audit", "the audit log's chain does not end as its signed head says, so somebody has changed it; events "
                       "are still added, but not chained. Run `auth audit verify`, and restore what it names");
  else if (status != STATUS_OK && status != STATUS_FAILED_PRECONDITION)
    log_debug("audit", "could not chain what is pending; the next attempt follows", LOG_STATUS(status));
  if (status == STATUS_OK || status == STATUS_FAILED_PRECONDITION)
    *is_broken = status == STATUS_FAILED_PRECONDITION;
}

void audit_chain_run(void *arg)
{
  const struct audit_chain *chain = arg;
  bool is_broken = false;
  uint64_t forget_us = 0;
  while (task_sleep_ms(EVERY_MS) == STATUS_OK) {
    uint64_t before = task_tighten_deadline(deadline_after_ms(clock_now_us(), LIMIT_MS));
    bool forgets = clock_now_us() >= forget_us;
    if (forgets || is_anything_pending(chain))
      tell(chain_all(chain, forgets), &is_broken);
    if (forgets)
      forget_us = clock_now_us() + UINT64_C(1000) * FORGET_EVERY_MS;
    task_restore_deadline(before);
  }
}
