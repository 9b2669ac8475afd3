// What the generated code of queries is made of: a query as tables (its statement, where each parameter is taken from,
// where each column goes), and the functions that run one. Services call the generated functions instead; the tables
// are for code that works on any query, such as resource.h.
#ifndef BULKHEAD_SERVICE_QUERY_H
#define BULKHEAD_SERVICE_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/storage/pg.h"

// Where a query runs: by itself, or within a transaction.
struct query_db {
  struct pg *pg;
  struct pg_tx *tx;
};
struct query_db query_on(struct pg *pg);
struct query_db query_in(struct pg_tx *tx);

// The form of a value in C. A nullable parameter of a kind that C holds by value is passed by pointer.
enum query_kind {
  QUERY_TEXT,    // const char *; also numeric, uuid, json, ... as their text
  QUERY_INT64,   // int64_t
  QUERY_BOOL,    // bool
  QUERY_DOUBLE,  // double
  QUERY_MICROS,  // int64_t, microseconds since 1970: timestamptz
  QUERY_BYTES,   // struct slice
  QUERY_TEXTS,   // char ** and a count
  QUERY_INT64S,  // int64_t * and a count; parameters only
  // Fields of messages. NULL is their empty value, and where the query says so their empty value is NULL.
  QUERY_FIELD_TEXT,
  QUERY_FIELD_INT32,
  QUERY_FIELD_BOOL,
  QUERY_FIELD_BYTES,
  QUERY_FIELD_TIME,
  QUERY_FIELD_TEXTS,
};

enum query_from {
  QUERY_FROM_PARAMS,    // a member of the struct of parameters
  QUERY_FROM_MESSAGE,   // a field of the message that a member points to
  QUERY_FROM_MESSAGES,  // that field of each of an array of messages: an array in SQL
};

struct query_param {
  enum query_kind kind;
  enum query_from from;
  bool nullable;
  size_t offset;
  size_t count;         // of the number of texts or integers
  size_t holder;        // of the pointer to the message or messages
  size_t holder_count;  // of their number
  size_t presence;      // of an optional field: of the int that is 0 where it is absent; 0: not optional
};

struct query_column {
  enum query_kind kind;
  bool nullable;
  size_t offset;
  size_t extra;     // of the number of texts; of the flag that says whether there is a value; 0: neither
  size_t presence;  // of the int that says whether an optional field is there; 0: not optional
  int number;       // what that int then says: the field's number
};

struct query {
  struct pg_statement statement;
  const struct query_param *params;
  size_t param_count;
  const struct query_column *columns;
  size_t column_count;
  size_t row_size;
  const ProtobufCMessageDescriptor *message;  // of the rows, where they are messages
};

// All may wait; all results live in `arena`. `params` points to the query's struct of parameters.

// NOT_FOUND where there is no row. `row` points to a row's struct or message.
enum status query_one(struct query_db db, const struct query *query, const void *params, struct arena *arena,
                      void *row) MUST_CHECK;
// Reads a row by its key, gathered with the others of this turn of the loop (pg_query_row). NOT_FOUND where there is no
// row. Not within a transaction.
enum status query_gathered(struct query_db db, const struct query *query, const char *key, struct arena *arena,
                           void *row) MUST_CHECK;
// An array of rows; of messages, an array of pointers to them.
struct query_rows {
  void *rows;
  size_t count;
};
enum status query_many(struct query_db db, const struct query *query, const void *params, struct arena *arena,
                       struct query_rows *rows) MUST_CHECK;
// *affected is the number of rows changed; NULL where nobody asks.
enum status query_exec(struct query_db db, const struct query *query, const void *params, struct arena *arena,
                       int64_t *affected) MUST_CHECK;

// ---- for code that composes queries itself ----

void query_add_params(struct pg_params *to, const struct query *query, const void *params);
enum status query_read_rows(const struct query *query, const struct pg_result *result, struct arena *arena,
                            struct query_rows *rows) MUST_CHECK;

// PostgreSQL's text of a timestamptz in UTC ("2026-11-21 13:51:54.123456+00"). False for what RFC 3339 cannot say:
// infinity, and years before 1 or after 9999.
bool query_parse_time(struct slice text, int64_t *micros);

#endif
