#include "common/service/query_list.h"

#include <string.h>

#include "common/base/hash.h"
#include "common/base/strbuf.h"
#include "common/base/utf8.h"
#include "common/service/page_token_internal.h"
#include "google/protobuf/timestamp.pb-c.h"

// The packed size at which a page of large rows ends early, well below what one RPC message may hold
// (RPC_MAX_MESSAGE_BYTES).
#define MAX_PAGE_BYTES ((size_t)4 * 1024 * 1024)

static const char *read_member_text(const void *message, size_t offset)
{
  return *(const char *const *)((const char *)message + offset);
}

// ---- what the request asks for ----

// Reads an order_by such as "createTime desc". The contract lists the possible texts, so an unknown one cannot come.
static void read_order(const struct query_list *list, const char *order_by, struct query_page *page)
{
  page->order = list->default_order;
  page->descending = list->default_descending;
  struct slice text = slice_from_string(order_by);
  for (size_t i = 0; i < list->order_count; i++) {
    struct slice name = slice_from_string(list->orders[i].name);
    struct slice direction = slice_skip(text, name.size);
    if (!slice_starts_with(text, name) || (direction.size > 0 && direction.data[0] != ' '))
      continue;
    page->order = i;
    page->descending = slice_equal_string(direction, " desc");
  }
}

static uint64_t make_fingerprint(const struct query_list *list, const ProtobufCMessage *request,
                                 const struct query_page *page)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_printf(&text, "%s %zu %d", list->statements[0].name, page->order, (int)page->descending);
  for (size_t i = 0; i < list->filter_count; i++) {
    strbuf_add_string(&text, read_member_text(request, list->filters[i]));
    strbuf_add_byte(&text, '\0');
  }
  uint64_t hash = hash_fingerprint(strbuf_slice(&text));
  strbuf_free(&text);
  return hash;
}

// Checks the value of a page token, which a client may have forged: PostgreSQL must be able to parse it.
static bool value_fits(struct slice value, enum query_kind kind)
{
  int64_t number;
  switch (kind) {
  case QUERY_FIELD_TIME:
    return page_token_micros(value, &number);
  case QUERY_FIELD_INT32:
    return slice_to_int64(value, INT32_MIN, INT32_MAX, &number);
  case QUERY_INT64:
    return slice_to_int64(value, INT64_MIN, INT64_MAX, &number);
  default:
    return utf8_valid(value) && memchr(value.data, '\0', value.size) == NULL;
  }
}

bool query_list_read(const struct query_list *list, const ProtobufCMessage *request, struct arena *arena,
                     struct query_page *page)
{
  int32_t size = *(const int32_t *)((const char *)request + list->page_size);
  *page = (struct query_page){.size = size == 0 ? list->default_page_size : (size_t)size};
  read_order(list, list->has_order_by ? read_member_text(request, list->order_by) : "", page);
  page->fingerprint = make_fingerprint(list, request, page);
  const char *token = read_member_text(request, list->page_token);
  if (token[0] == '\0')
    return true;
  struct slice value, id;
  if (!page_token_read(token, page->fingerprint, arena, &value, &id) ||
      !value_fits(value, list->orders[page->order].kind))
    return false;
  page->after_value = value.data;
  page->after_id = id.data;
  return true;
}

// ---- the page ----

static const struct pg_statement *add_page_params(const struct query_list *list, const struct query_page *page,
                                                  const ProtobufCMessage *request, struct pg_params *params)
{
  size_t filters = 0;
  for (size_t i = 0; i < list->filter_count; i++) {
    const char *value = read_member_text(request, list->filters[i]);
    if (value[0] == '\0')
      continue;
    filters |= (size_t)1 << i;
    pg_add_text(params, value);
  }
  bool after = page->after_id != NULL;
  if (after) {
    pg_add_text(params, page->after_value);
    pg_add_text(params, page->after_id);
  }
  // One row more than the page takes tells whether there is a next page.
  pg_add_int(params, (int64_t)page->size + 1);
  size_t choice = (page->order * 2 + (page->descending ? 1 : 0)) * 2 + (after ? 1 : 0);
  return &list->statements[(choice << list->filter_count) + filters];
}

// Counts the rows that fit the page: at least one, if there is any.
static size_t count_in_page(ProtobufCMessage *const *rows, size_t count)
{
  size_t bytes = 0;
  for (size_t i = 0; i < count; i++) {
    bytes += protobuf_c_message_get_packed_size(rows[i]);
    if (i > 0 && bytes > MAX_PAGE_BYTES)
      return i;
  }
  return count;
}

static const char *format_order_value(const struct query_order *order, const void *row, struct arena *arena)
{
  const void *place = (const char *)row + order->offset;
  switch (order->kind) {
  case QUERY_FIELD_TIME: {
    const Google__Protobuf__Timestamp *time = *(const Google__Protobuf__Timestamp *const *)place;
    return arena_printf(arena, "%lld", (long long)time->seconds * 1000000 + time->nanos / 1000);
  }
  case QUERY_FIELD_INT32:
    return arena_printf(arena, "%d", *(const int32_t *)place);
  case QUERY_INT64:
    return arena_printf(arena, "%lld", (long long)*(const int64_t *)place);
  default:
    return *(const char *const *)place;
  }
}

static const char *write_token_behind(const struct query_list *list, const struct query_page *page, const void *last,
                                      struct arena *arena)
{
  const char *value = format_order_value(&list->orders[page->order], last, arena);
  return page_token_write(page->fingerprint, slice_from_string(value),
                          slice_from_string(read_member_text(last, list->id)), arena);
}

static void fill_response(const struct query_list *list, const struct query_page *page, const struct query_rows *found,
                          const struct query_list_call *call)
{
  ProtobufCMessage **rows = found->rows;
  char *response = (char *)call->response;
  size_t count = count_in_page(rows, found->count > page->size ? page->size : found->count);
  *(size_t *)(response + list->row_count) = count;
  *(ProtobufCMessage ***)(response + list->rows) = rows;
  if (found->count > count)
    *(const char **)(response + list->next_page_token) = write_token_behind(list, page, rows[count - 1], call->arena);
}

enum status query_list_run(struct query_db db, const struct query_list *list, const struct query_page *page,
                           const struct query_list_call *call)
{
  struct pg_params params;
  pg_params_init(&params, call->arena);
  query_add_params(&params, &list->shape, call->params);
  const struct pg_statement *statement = add_page_params(list, page, call->request, &params);
  struct pg_result result;
  enum status status = query_run(db, statement, &params, call->arena, &result);
  struct query_rows found;
  if (status == STATUS_OK)
    status = query_read_rows(&list->shape, &result, call->arena, &found);
  if (status == STATUS_OK)
    fill_response(list, page, &found, call);
  return status;
}
