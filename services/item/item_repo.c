// Reading and writing single items and batches; lists are in item_list_repo.c.
#include "services/item/item_repo.h"

#include <string.h>

#include "common/base/strbuf.h"
#include "common/base/uuid.h"
#include "services/item/item_row_repo.h"

static const struct pg_statement GET = {
    .name = "item_get",
    .sql = "SELECT " ITEM_COLUMNS ", k.place FROM unnest($1::uuid[]) WITH ORDINALITY AS k(key, place)"
           " JOIN items ON id = k.key",
    .read_only = true,
};

static const struct pg_statement LOCK = {
    .name = "item_lock",
    .sql = "SELECT " ITEM_COLUMNS " FROM items WHERE id = $1::uuid FOR UPDATE",
};

// The items travel as arrays, a column each; their tags, arrays themselves, as the text form that PostgreSQL reads.
#define INSERT_SQL                                                                                                     \
  "INSERT INTO items (id, owner_id, sku, name, description, category, tags, price, currency, quantity, attributes)"    \
  " SELECT v.id, $1::uuid, v.sku, v.name, v.description, v.category, v.tags::text[], v.price::numeric, v.currency,"    \
  " v.quantity::int, v.attributes::json"                                                                               \
  " FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],"       \
  " $10::bigint[], $11::text[])"                                                                                       \
  " AS v(id, sku, name, description, category, tags, price, currency, quantity, attributes)"                           \
  " RETURNING " ITEM_COLUMNS

static const struct pg_statement INSERT_ONE = {.name = "item_insert", .sql = INSERT_SQL};
static const struct pg_statement INSERT_MANY = {.name = "item_insert_many", .sql = INSERT_SQL, .dedicated = true};

static const struct pg_statement FIND_SKUS = {
    .name = "item_find_skus",
    .sql = "SELECT EXISTS (SELECT FROM items WHERE owner_id = $1::uuid AND sku = v.sku)"
           " FROM unnest($2::text[]) WITH ORDINALITY AS v(sku, place) ORDER BY v.place",
    .dedicated = true,
    .read_only = true,
};

static const struct pg_statement UPDATE = {
    .name = "item_update",
    .sql = "UPDATE items SET sku = $3, name = $4, description = $5, category = $6, tags = $7::text[],"
           " price = $8::numeric, currency = $9, quantity = $10::int, attributes = $11::json,"
           " revision = revision + 1, update_time = greatest(clock_timestamp(), update_time)"
           " WHERE id = $1::uuid AND revision = $2::bigint RETURNING " ITEM_COLUMNS,
};

static const struct pg_statement DELETE_ONE = {
    .name = "item_delete",
    .sql = "DELETE FROM items WHERE id = $1::uuid AND revision = coalesce($2::bigint, revision)",
};

static enum status read_one(const struct pg_result *result, enum status missing, struct arena *arena,
                            Item__V1__Item *out)
{
  return result->rows == 0 ? missing : item_row_read(result, 0, arena, out);
}

enum status item_repo_get(struct pg *pg, const char *id, struct arena *arena, Item__V1__Item *out)
{
  struct pg_result result;
  enum status status = pg_query_row(pg, &GET, id, arena, &result);
  return status != STATUS_OK ? status : read_one(&result, STATUS_NOT_FOUND, arena, out);
}

// Protobuf's empty text is SQL NULL where a column has no empty value.
static const char *null_if_empty(const char *text)
{
  return text[0] == '\0' ? NULL : text;
}

static const char *attributes_of(const Item__V1__Item *item)
{
  return item->attributes[0] == '\0' ? "{}" : item->attributes;
}

// {"a","b\"c"}: every item quoted, so that only backslash and quote need an escape.
static const char *tags_text(const Item__V1__Item *item, struct arena *arena)
{
  size_t size = 3;
  for (size_t i = 0; i < item->n_tags; i++)
    size += 2 * strlen(item->tags[i]) + 3;
  char *text = arena_alloc(arena, size);
  char *next = text;
  *next++ = '{';
  for (size_t i = 0; i < item->n_tags; i++) {
    if (i > 0)
      *next++ = ',';
    *next++ = '"';
    for (const char *c = item->tags[i]; *c != '\0'; c++) {
      if (*c == '"' || *c == '\\')
        *next++ = '\\';
      *next++ = *c;
    }
    *next++ = '"';
  }
  *next++ = '}';
  *next = '\0';
  return text;
}

struct insert_columns {
  const char **ids, **skus, **names, **descriptions, **categories, **tags, **prices, **currencies, **attributes;
  int64_t *quantities;
};

static void insert_columns_alloc(struct insert_columns *columns, size_t count, struct arena *arena)
{
  const char ***texts[] = {&columns->ids,          &columns->skus,       &columns->names,
                           &columns->descriptions, &columns->categories, &columns->tags,
                           &columns->prices,       &columns->currencies, &columns->attributes};
  for (size_t i = 0; i < ARRAY_LEN(texts); i++)
    *texts[i] = arena_array(arena, count, sizeof(const char *));
  columns->quantities = arena_array(arena, count, sizeof(int64_t));
}

static void insert_columns_set(struct insert_columns *columns, size_t i, const Item__V1__Item *item,
                               struct arena *arena)
{
  char *id = arena_alloc(arena, UUID_TEXT_SIZE);
  uuid_v7(id);
  columns->ids[i] = id;
  columns->skus[i] = item->sku;
  columns->names[i] = item->name;
  columns->descriptions[i] = item->description;
  columns->categories[i] = item->category;
  columns->tags[i] = tags_text(item, arena);
  columns->prices[i] = null_if_empty(item->price);
  columns->currencies[i] = null_if_empty(item->currency);
  columns->quantities[i] = item->quantity;
  columns->attributes[i] = attributes_of(item);
}

// RETURNING promises no order. Rows come back as they went in; where they should not, the ids tell.
static enum status read_in_order(const struct pg_result *result, const char *const *ids, size_t count,
                                 struct arena *arena, Item__V1__Item **out)
{
  if (result->rows != count)
    return STATUS_INTERNAL;
  *out = arena_array(arena, count, sizeof(**out));
  for (size_t i = 0; i < count; i++) {
    size_t row = i;
    for (size_t tried = 0; strcmp(pg_text(result, row, 0), ids[i]) != 0; tried++) {
      if (tried == count)
        return STATUS_INTERNAL;
      row = (row + 1) % count;
    }
    enum status status = item_row_read(result, row, arena, &(*out)[i]);
    if (status != STATUS_OK)
      return status;
  }
  return STATUS_OK;
}

enum status item_repo_insert(struct pg *pg, const char *owner_id, Item__V1__Item *const *items, size_t count,
                             struct arena *arena, Item__V1__Item **out)
{
  struct insert_columns columns;
  insert_columns_alloc(&columns, count, arena);
  for (size_t i = 0; i < count; i++)
    insert_columns_set(&columns, i, items[i], arena);

  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, owner_id);
  pg_add_text_array(&params, columns.ids, count);
  pg_add_text_array(&params, columns.skus, count);
  pg_add_text_array(&params, columns.names, count);
  pg_add_text_array(&params, columns.descriptions, count);
  pg_add_text_array(&params, columns.categories, count);
  pg_add_text_array(&params, columns.tags, count);
  pg_add_text_array(&params, columns.prices, count);
  pg_add_text_array(&params, columns.currencies, count);
  pg_add_int_array(&params, columns.quantities, count);
  pg_add_text_array(&params, columns.attributes, count);
  struct pg_result result;
  enum status status = pg_query(pg, count == 1 ? &INSERT_ONE : &INSERT_MANY, &params, arena, &result);
  if (status != STATUS_OK)
    return status;
  return read_in_order(&result, columns.ids, count, arena, out);
}

enum status item_repo_find_skus(struct pg *pg, const char *owner_id, const char *const *skus, size_t count,
                                struct arena *arena, bool *taken)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, owner_id);
  pg_add_text_array(&params, skus, count);
  struct pg_result result;
  enum status status = pg_query(pg, &FIND_SKUS, &params, arena, &result);
  if (status != STATUS_OK)
    return status;
  for (size_t i = 0; i < count; i++)
    taken[i] = pg_bool(&result, i, 0);
  return STATUS_OK;
}

static void add_update_params(struct pg_params *params, const Item__V1__Item *item, const char *etag)
{
  pg_add_text(params, item->id);
  pg_add_text(params, etag);
  pg_add_text(params, item->sku);
  pg_add_text(params, item->name);
  pg_add_text(params, item->description);
  pg_add_text(params, item->category);
  pg_add_text(params, tags_text(item, params->arena));
  pg_add_text(params, null_if_empty(item->price));
  pg_add_text(params, null_if_empty(item->currency));
  pg_add_int(params, item->quantity);
  pg_add_text(params, attributes_of(item));
}

enum status item_repo_update(struct pg *pg, const Item__V1__Item *item, const char *etag, struct arena *arena,
                             Item__V1__Item *out)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  add_update_params(&params, item, etag);
  struct pg_result result;
  enum status status = pg_query(pg, &UPDATE, &params, arena, &result);
  return status != STATUS_OK ? status : read_one(&result, STATUS_ABORTED, arena, out);
}

static enum status lock(struct pg_tx *tx, const char *id, struct arena *arena, Item__V1__Item *item)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, id);
  struct pg_result result;
  enum status status = pg_tx_query(tx, &LOCK, &params, arena, &result);
  return status != STATUS_OK ? status : read_one(&result, STATUS_NOT_FOUND, arena, item);
}

static enum status update_locked(struct pg_tx *tx, const Item__V1__Item *item, struct arena *arena, Item__V1__Item *out)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  add_update_params(&params, item, item->etag);
  struct pg_result result;
  enum status status = pg_tx_query(tx, &UPDATE, &params, arena, &result);
  return status != STATUS_OK ? status : read_one(&result, STATUS_ABORTED, arena, out);
}

enum status item_repo_change(struct pg *pg, const char *id, item_change_fn *change, void *arg, struct arena *arena,
                             Item__V1__Item *out)
{
  struct pg_tx *tx = NULL;
  Item__V1__Item item = ITEM__V1__ITEM__INIT;
  enum status status = pg_begin(pg, &tx);
  if (status == STATUS_OK)
    status = lock(tx, id, arena, &item);
  if (status == STATUS_OK)
    status = change(arg, &item);
  if (status == STATUS_OK)
    status = update_locked(tx, &item, arena, out);
  if (status == STATUS_OK)
    status = pg_commit(&tx);
  pg_rollback(&tx);
  return status;
}

enum status item_repo_delete(struct pg *pg, const char *id, const char *etag, struct arena *arena)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  pg_add_text(&params, id);
  pg_add_text(&params, etag);
  struct pg_result result;
  enum status status = pg_query(pg, &DELETE_ONE, &params, arena, &result);
  if (status != STATUS_OK)
    return status;
  return result.affected == 0 ? STATUS_ABORTED : STATUS_OK;
}
