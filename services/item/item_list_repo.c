// Lists of items. Which filters a query has and how it is sorted gives one of 256 statements; each is composed at its
// first use and kept, so that PostgreSQL plans it with the index it wants and prepares it once a connection.
#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/strbuf.h"
#include "common/service/resource.h"
#include "services/item/item_repo.h"
#include "services/item/item_row_repo.h"

enum filter {
  FILTER_CATEGORY = 1,
  FILTER_TAG = 2,
  FILTER_OWNER = 4,
  FILTER_WORDS = 8,
  FILTER_PLACE = 16,
  FILTERS = 32,
};

static const struct {
  const char *name;    // for the statement's name
  const char *column;  // as the index has it
  const char *value;   // of after_value, from parameter %u
} ORDERS[ITEM_ORDERS] = {
    [ITEM_ORDER_CREATE_TIME] = {"create_time", "create_time",
                                "timestamptz 'epoch' + $%u::bigint * interval '1 microsecond'"},
    [ITEM_ORDER_UPDATE_TIME] = {"update_time", "update_time",
                                "timestamptz 'epoch' + $%u::bigint * interval '1 microsecond'"},
    [ITEM_ORDER_NAME] = {"name", "name COLLATE \"C\"", "$%u::text"},
    [ITEM_ORDER_QUANTITY] = {"quantity", "quantity", "$%u::int"},
};

static const struct {
  enum filter filter;
  const char *condition;  // %u is its parameter
} CONDITIONS[] = {
    {FILTER_CATEGORY, "category = $%u"},
    {FILTER_TAG, "tags @> ARRAY[$%u]"},
    {FILTER_OWNER, "owner_id = $%u::uuid"},
    {FILTER_WORDS, "search @@ websearch_to_tsquery('english', $%u)"},
};

static unsigned filters_of(const struct item_query *query)
{
  return (query->category == NULL ? 0u : FILTER_CATEGORY) | (query->tag == NULL ? 0u : FILTER_TAG) |
         (query->owner_id == NULL ? 0u : FILTER_OWNER) | (query->words == NULL ? 0u : FILTER_WORDS) |
         (query->after_id == NULL ? 0u : FILTER_PLACE);
}

// The formats are the literals of the tables above.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void compose(const struct item_query *query, unsigned filters, struct strbuf *sql)
{
  unsigned parameter = 0;
  const char *direction = query->descending ? "DESC" : "ASC";
  strbuf_add_string(sql, "SELECT " ITEM_COLUMNS " FROM items");
  const char *link = " WHERE ";
  for (size_t i = 0; i < ARRAY_LEN(CONDITIONS); i++) {
    if ((filters & CONDITIONS[i].filter) == 0)
      continue;
    strbuf_add_string(sql, link);
    strbuf_printf(sql, CONDITIONS[i].condition, ++parameter);
    link = " AND ";
  }
  if ((filters & FILTER_PLACE) != 0) {
    strbuf_printf(sql, "%s(%s, id) %c (", link, ORDERS[query->order].column, query->descending ? '<' : '>');
    strbuf_printf(sql, ORDERS[query->order].value, ++parameter);
    strbuf_printf(sql, ", $%u::uuid)", ++parameter);
  }
  strbuf_printf(sql, " ORDER BY %s %s, id %s LIMIT $%u::bigint", ORDERS[query->order].column, direction, direction,
                parameter + 1);
}
#pragma GCC diagnostic pop

static const struct pg_statement *statement_for(const struct item_query *query)
{
  static struct pg_statement *statements[ITEM_ORDERS][2][FILTERS];
  unsigned filters = filters_of(query);
  struct pg_statement **place = &statements[query->order][query->descending][filters];
  if (*place != NULL)
    return *place;

  struct strbuf sql, name;
  strbuf_init(&sql, 0);
  strbuf_init(&name, 0);
  compose(query, filters, &sql);
  strbuf_printf(&name, "item_list_%s_%s_%u", ORDERS[query->order].name, query->descending ? "desc" : "asc", filters);
  struct pg_statement *statement = malloc(sizeof(*statement));
  CHECK(statement != NULL);
  // The buffers become the statement's, for the life of the process.
  *statement = (struct pg_statement){
      .name = strbuf_cstring(&name), .sql = strbuf_cstring(&sql), .dedicated = true, .read_only = true};
  return *place = statement;
}

enum status item_repo_list(struct pg *pg, const struct item_query *query, struct arena *arena, Item__V1__Item **out,
                           size_t *count)
{
  struct pg_params params;
  pg_params_init(&params, arena);
  const char *filters[] = {query->category, query->tag, query->owner_id, query->words};
  for (size_t i = 0; i < ARRAY_LEN(filters); i++)
    if (filters[i] != NULL)
      pg_add_text(&params, filters[i]);
  if (query->after_id != NULL) {
    pg_add_text(&params, query->after_value);
    pg_add_text(&params, query->after_id);
  }
  pg_add_int(&params, (int64_t)query->limit);
  struct pg_result result;
  enum status status = pg_query(pg, statement_for(query), &params, arena, &result);
  if (status != STATUS_OK)
    return status;
  *count = result.rows;
  return item_rows_read(&result, arena, out);
}

const char *item_repo_order_value(const Item__V1__Item *item, enum item_order order, struct arena *arena)
{
  switch (order) {
  case ITEM_ORDER_CREATE_TIME:
    return arena_printf(arena, "%lld", (long long)resource_micros(item->create_time));
  case ITEM_ORDER_UPDATE_TIME:
    return arena_printf(arena, "%lld", (long long)resource_micros(item->update_time));
  case ITEM_ORDER_NAME:
    return item->name;
  case ITEM_ORDER_QUANTITY:
    return arena_printf(arena, "%d", item->quantity);
  case ITEM_ORDERS:
    break;
  }
  CHECK(false);
  return NULL;
}
