// Lists that are declared: filters, orders and pages, of which every combination is a statement of its own. The tables
// are made by bulkhead-query; resource_list runs them.
#ifndef BULKHEAD_SERVICE_QUERY_LIST_H
#define BULKHEAD_SERVICE_QUERY_LIST_H

#include "common/service/query.h"

struct query_order {
  const char *name;      // "createTime", in a request's order_by
  enum query_kind kind;  // of the field of the row that it sorts by
  size_t offset;
};

struct query_list {
  struct query shape;  // of a row, and the parameters that every page has; its statement is not used
  // [order][descending][after][filters], where `after` means a later page and filters are bits.
  const struct pg_statement *statements;
  const struct query_order *orders;
  size_t order_count;
  size_t default_order;
  bool default_descending;
  const size_t *filters;  // offsets of texts in the request; an empty one does not filter
  size_t filter_count;
  uint32_t default_page_size;
  // Offsets in the request,
  size_t page_size;
  size_t page_token;
  size_t order_by;
  bool has_order_by;
  // in the response,
  size_t rows;
  size_t row_count;
  size_t next_page_token;
  // in a row.
  size_t id;
};

// What a request asks for.
struct query_page {
  size_t order;
  bool descending;
  size_t size;
  uint64_t fingerprint;     // of filters and order: a page token holds for the same ones only
  const char *after_value;  // NULL: the first page
  const char *after_id;
};

// False when the page token is none of this list's.
bool query_list_read(const struct query_list *list, const ProtobufCMessage *request, struct arena *arena,
                     struct query_page *page) MUST_CHECK;
// Who asks.
struct query_list_call {
  const void *params;  // the list's struct of parameters; NULL where it has none
  const ProtobufCMessage *request;
  ProtobufCMessage *response;
  struct arena *arena;
};
// Fills the response's rows and next page token. A page of large rows ends before its size. May wait.
enum status query_list_run(struct query_db db, const struct query_list *list, const struct query_page *page,
                           const struct query_list_call *call) MUST_CHECK;

#endif
