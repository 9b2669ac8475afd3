// Runs lists that are declared with filters, orders and pages. Every combination of these is a statement of its own.
// bulkhead-query makes the tables; resource_list calls the functions.
#ifndef BULKHEAD_SERVICE_QUERY_LIST_H
#define BULKHEAD_SERVICE_QUERY_LIST_H

#include "common/base/strbuf.h"
#include "common/service/query.h"

// An order in which a list may be asked for.
struct query_order {
  const char *name;      // "createTime", in a request's order_by
  enum query_kind kind;  // of the field that it sorts by
  size_t column;         // index of that field's column
};

// A list as tables.
struct query_list {
  const ProtobufCMessageDescriptor *request;  // the type of the request, in which the offsets below are
  struct query shape;  // the columns of a row, and the parameters that every page has; its statement is not used
  // Indexed as [order][descending][after][filters]: `after` is 1 for a later page, and filters are bits.
  const struct pg_statement *statements;
  const struct query_order *orders;
  size_t order_count;
  size_t default_order;
  bool default_descending;
  const size_t *filters;  // offsets of texts in the request; an empty one does not filter
  size_t filter_count;
  uint32_t default_page_size;
  // Offsets in the request; `order_by` only where `has_order_by`.
  size_t page_size;
  size_t page_token;
  size_t order_by;
  bool has_order_by;
  // Numbers of fields of the response.
  uint32_t rows;
  uint32_t next_page_token;
  size_t id;  // index of the column that breaks ties
};

// Why a list cannot answer a request: texts for the client.
struct query_refusal {
  const char *field;   // the JSON name of the request's field at fault
  const char *rule;    // what is accepted there
  const char *reason;  // "INVALID_ORDER_BY"
  const char *message;
};

// Which page of a list a request asks for.
struct query_page {
  size_t order;  // index of query_list.orders
  bool descending;
  size_t size;              // rows at most
  uint64_t fingerprint;     // of list, filters and order; a page token is valid for the same ones only
  const char *after_value;  // where the page before ended; NULL for the first page
  const char *after_id;
  struct query_refusal refusal;  // filled in where query_list_read returns false
};

// Reads which page the request asks for. False when the list does not have its order, or when its page token is
// malformed or belongs to another list; page->refusal says which. Texts live in `arena` or in the request.
bool query_list_read(const struct query_list *list, const ProtobufCMessage *request, struct arena *arena,
                     struct query_page *page) MUST_CHECK;
// The request for a page.
struct query_list_call {
  const void *params;  // the list's struct of parameters; NULL where it has none
  const ProtobufCMessage *request;
  struct arena *arena;
};
// Reads a page and packs the response, its rows and next page token, into a buffer of the arena. A page of large rows
// ends before its size. May wait.
enum status query_list_run(struct query_db db, const struct query_list *list, const struct query_page *page,
                           const struct query_list_call *call, struct strbuf **wire) MUST_CHECK;

#endif
