#include "common/service/query_list_internal.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/strbuf.h"
#include "common/base/utf8.h"
#include "common/base/wire.h"
#include "common/runtime/task.h"
#include "common/service/page_token_internal.h"

// The packed size at which a page of large rows ends early, well below what one RPC message may hold
// (RPC_MAX_MESSAGE_BYTES).
#define MAX_PAGE_BYTES ((size_t)4 * 1024 * 1024)
// What is packed before others have a turn.
#define YIELD_BYTES ((size_t)256 * 1024)

static const char *read_member_text(const void *message, size_t offset)
{
  return *(const char *const *)((const char *)message + offset);
}

// ---- what the request asks for ----

// Reads the direction behind the name of an order: "", " asc" or " desc". False for any other text.
static bool read_direction(struct slice direction, bool *descending)
{
  *descending = slice_equal_string(direction, " desc");
  return *descending || direction.size == 0 || slice_equal_string(direction, " asc");
}

static bool find_order(const struct query_list *list, struct slice text, struct query_page *page)
{
  for (size_t i = 0; i < list->order_count; i++) {
    struct slice name = slice_from_string(list->orders[i].name);
    if (!slice_starts_with(text, name) || !read_direction(slice_skip(text, name.size), &page->descending))
      continue;
    page->order = i;
    return true;
  }
  return false;
}

// Returns the violation of an order_by that the list does not have.
static const char *name_orders(const struct query_list *list, struct arena *arena)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_add_string(&text, "must be one of: ");
  for (size_t i = 0; i < list->order_count; i++)
    strbuf_printf(&text, "%s%s asc, %s desc", i == 0 ? "" : ", ", list->orders[i].name, list->orders[i].name);
  const char *rule = arena_string(arena, strbuf_slice(&text));
  strbuf_free(&text);
  return rule;
}

// Reads an order_by such as "createTime desc". The empty text gives the default order. False for an order that the list
// does not have.
static bool read_order(const struct query_list *list, const char *order_by, struct arena *arena,
                       struct query_page *page)
{
  page->order = list->default_order;
  page->descending = list->default_descending;
  if (order_by[0] == '\0' || find_order(list, slice_from_string(order_by), page))
    return true;
  page->refusal = (struct query_refusal){.field = "orderBy",
                                         .rule = name_orders(list, arena),
                                         .reason = "INVALID_ORDER_BY",
                                         .message = "the list does not have this order"};
  return false;
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

// Reads the page token, which the client may have forged. False where it is not one of this list, filters and order.
static bool read_token(const struct query_list *list, const char *token, struct arena *arena, struct query_page *page)
{
  struct slice value, id;
  if (token[0] == '\0')
    return true;
  if (page_token_read(token, page->fingerprint, arena, &value, &id) &&
      value_fits(value, list->orders[page->order].kind)) {
    page->after_value = value.data;
    page->after_id = id.data;
    return true;
  }
  page->refusal = (struct query_refusal){.field = "pageToken",
                                         .rule = "must be the nextPageToken of a page of the same list",
                                         .reason = "INVALID_PAGE_TOKEN",
                                         .message = "the page token is not valid for this list"};
  return false;
}

bool query_list_read(const struct query_list *list, const ProtobufCMessage *request, struct arena *arena,
                     struct query_page *page)
{
  int32_t size = *(const int32_t *)((const char *)request + list->page_size);
  *page = (struct query_page){.size = size == 0 ? list->default_page_size : (size_t)size};
  if (!read_order(list, list->has_order_by ? read_member_text(request, list->order_by) : "", arena, page))
    return false;
  page->fingerprint = make_fingerprint(list, request, page);
  return read_token(list, read_member_text(request, list->page_token), arena, page);
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

// Returns the value that the list is ordered by, as a page token holds it: a time as microseconds since 1970, all else
// as PostgreSQL writes it.
static struct slice format_order_value(enum query_kind kind, struct slice cell, struct arena *arena)
{
  int64_t micros = 0;
  if (kind != QUERY_FIELD_TIME)
    return cell;
  // The row has been packed, so the time can be parsed.
  CHECK(query_parse_time(cell, &micros));
  return slice_from_string(arena_printf(arena, "%lld", (long long)micros));
}

static struct slice write_token_behind(const struct query_list *list, const struct query_page *page,
                                       const struct query_packer *packer, size_t row)
{
  const struct query_order *order = &list->orders[page->order];
  struct slice value = format_order_value(order->kind, pg_slice(packer->result, row, order->column), packer->arena);
  return slice_from_string(
      page_token_write(page->fingerprint, value, pg_slice(packer->result, row, list->id), packer->arena));
}

// Packs the rows that fit the page: at least one, if there is any. *count is their number. Packing megabytes leaves
// other tasks their turns.
static enum status pack_rows(const struct query_list *list, const struct query_packer *packer, size_t max_count,
                             struct strbuf *out, size_t *count)
{
  size_t rows = packer->result->rows < max_count ? packer->result->rows : max_count;
  size_t yielded_at = 0;
  for (*count = 0; *count < rows; ++*count) {
    size_t before = out->size;
    size_t mark = wire_begin_nested(out, list->rows);
    enum status status = query_pack_row(packer, *count, out);
    if (status != STATUS_OK)
      return status;
    wire_end_nested(out, mark);
    if (*count > 0 && out->size > MAX_PAGE_BYTES) {
      strbuf_truncate(out, before);
      break;
    }
    if (out->size - yielded_at < YIELD_BYTES)
      continue;
    yielded_at = out->size;
    status = task_yield();
    if (status != STATUS_OK)
      return status;
  }
  return STATUS_OK;
}

enum status query_list_pack(const struct query_list *list, const struct query_page *page,
                            const struct query_packer *packer, struct strbuf **wire)
{
  struct strbuf *out = query_pack_buffer(packer);
  size_t count;
  enum status status = pack_rows(list, packer, page->size, out, &count);
  if (status == STATUS_OK && packer->result->rows > count)
    wire_write_bytes(out, list->next_page_token, write_token_behind(list, page, packer, count - 1));
  *wire = out;
  return status;
}

enum status query_list_run(struct query_db db, const struct query_list *list, const struct query_page *page,
                           const struct query_list_call *call, struct strbuf **wire)
{
  struct pg_params params;
  pg_params_init(&params, call->arena);
  query_add_params(&params, &list->shape, call->params);
  const struct pg_statement *statement = add_page_params(list, page, call->request, &params);
  struct pg_result result;
  enum status status = query_run(db, statement, &params, call->arena, &result);
  if (status != STATUS_OK)
    return status;
  const struct query_packer packer = {.query = &list->shape, .result = &result, .arena = call->arena};
  return query_list_pack(list, page, &packer, wire);
}
