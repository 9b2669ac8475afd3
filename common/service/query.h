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

// Where a query runs: by itself (`pg`), or within a transaction (`tx`). The other members are empty.
struct query_db {
  struct pg *pg;
  struct pg_tx *tx;
  enum status failure;  // not OK: there is nothing to run on, and every query ends with this status
};

// Runs a query by itself.
struct query_db query_on(struct pg *pg);
// Runs a query within a transaction.
struct query_db query_in(struct pg_tx *tx);
// Fails every query with `status`, because the transaction that it belongs to could not begin.
struct query_db query_failing(enum status status);

// The form of a value in C. A nullable parameter of a kind that C holds by value is passed by pointer.
enum query_kind {
  QUERY_TEXT,    // const char *; also numeric, uuid, json, ... as their text
  QUERY_INT64,   // int64_t
  QUERY_BOOL,    // bool
  QUERY_DOUBLE,  // double
  QUERY_MICROS,  // int64_t, microseconds since 1970: timestamptz
  QUERY_BYTES,   // struct slice
  QUERY_TEXTS,   // char ** and a count; a column must hold no NULL among its items
  QUERY_INT64S,  // int64_t * and a count; parameters only
  // The kinds below are fields of messages. NULL in a column gives the field's empty value. In a nullable parameter the
  // empty value gives NULL.
  QUERY_FIELD_TEXT,
  QUERY_FIELD_INT32,
  QUERY_FIELD_BOOL,
  QUERY_FIELD_BYTES,
  QUERY_FIELD_TIME,
  QUERY_FIELD_TEXTS,
};

// Where the value of a parameter is taken from.
enum query_from {
  QUERY_FROM_PARAMS,    // a member of the struct of parameters
  QUERY_FROM_MESSAGE,   // a field of the message that a member points to
  QUERY_FROM_MESSAGES,  // a field of each message of an array of messages; gives an array in SQL
};

// A parameter. All members of type size_t are offsets: with QUERY_FROM_PARAMS in the struct of parameters, else those
// of the field in its message. An offset that does not apply is 0.
struct query_param {
  enum query_kind kind;
  enum query_from from;
  bool nullable;
  size_t offset;
  size_t count;         // where the number of texts or integers is
  size_t holder;        // where the struct of parameters points to the message or messages
  size_t holder_count;  // where the struct of parameters holds the number of messages
  size_t presence;      // where the int is that is 0 while an optional field is absent
};

// How protobuf encodes a whole number.
enum query_encoding {
  QUERY_VARINT,  // int32, int64
  QUERY_ZIGZAG,  // sint32, sint64
  QUERY_FIXED,   // sfixed32, sfixed64
};

// A column. All members of type size_t are offsets in the row; an offset that does not apply is 0.
struct query_column {
  enum query_kind kind;
  enum query_encoding encoding;  // of a number that is a field of a message
  bool nullable;
  size_t offset;
  size_t extra;     // where the number of texts is, or the flag that is true where the column is not NULL
  size_t presence;  // where the int is that tells whether an optional field is present
  int number;       // of the field, where the rows are messages; the value of that int while the field is present
};

// A query as tables.
struct query {
  struct pg_statement statement;
  const struct query_param *params;
  size_t param_count;
  const struct query_column *columns;
  size_t column_count;
  size_t row_size;
  const ProtobufCMessageDescriptor *message;  // the type of the rows; NULL where they are structs
  // The type of the message that all parameters are fields of; NULL where there is another parameter.
  const ProtobufCMessageDescriptor *argument;
  bool gathers_changes;         // it changes rows by an array of messages (query_change)
  const uint16_t *field_order;  // where the rows are messages: the columns' indexes, by their numbers
};

// The functions below may wait. Their results live in `arena`. `params` points to the query's struct of parameters.
// Each returns the status of the statement (pg.h), or INTERNAL for a row that does not fit the table of columns.

// Reads one row into `row`, a struct or message of the query. NOT_FOUND where there is no row.
enum status query_one(struct query_db db, const struct query *query, const void *params, struct arena *arena,
                      void *row) MUST_CHECK;
// Reads a row by its key, gathered with what other tasks ask for (pg_query_row); within a transaction, by itself.
// NOT_FOUND where there is no row.
enum status query_gathered(struct query_db db, const struct query *query, const char *key, struct arena *arena,
                           void *row) MUST_CHECK;
// Reads one row like query_gathered, and gives its message packed. The bytes are written straight from the cells, which
// costs less than to fill the message and pack it. The query's rows must be messages (CHECK).
enum status query_gathered_packed(struct query_db db, const struct query *query, const char *key, struct arena *arena,
                                  struct slice *wire) MUST_CHECK;
// Messages in an array, as the params of a query that gathers changes.
struct query_messages {
  const void *const *messages;
  size_t count;
};
// Changes one row by a message, which is the only argument of the query. Where the query gathers changes, this one
// travels with those of other tasks (pg_change_row); within a transaction, by itself. NOT_FOUND where no row fits.
enum status query_change(struct query_db db, const struct query *query, const void *message, struct arena *arena,
                         void *row) MUST_CHECK;
// Changes one row like query_change, and gives its message packed.
enum status query_change_packed(struct query_db db, const struct query *query, const void *message, struct arena *arena,
                                struct slice *wire) MUST_CHECK;
// Rows that were read: an array of structs, or an array of pointers where the rows are messages.
struct query_rows {
  void *rows;
  size_t count;
};
// Reads all rows.
enum status query_many(struct query_db db, const struct query *query, const void *params, struct arena *arena,
                       struct query_rows *rows) MUST_CHECK;
// Runs a statement that gives no rows. *affected is the number of rows that it changed; `affected` may be NULL.
enum status query_exec(struct query_db db, const struct query *query, const void *params, struct arena *arena,
                       int64_t *affected) MUST_CHECK;

// ---- for code that composes queries itself ----

// Runs a statement with the values of its parameters.
enum status query_run(struct query_db db, const struct pg_statement *statement, const struct pg_params *params,
                      struct arena *arena, struct pg_result *result) MUST_CHECK;
// Adds the values of the query's parameters. `params` must stay valid until the statement has run.
void query_add_params(struct pg_params *to, const struct query *query, const void *params);
// Reads all rows of a result. INTERNAL, with a log line, for a row that does not fit the table of columns.
enum status query_read_rows(const struct query *query, const struct pg_result *result, struct arena *arena,
                            struct query_rows *rows) MUST_CHECK;

// Parses PostgreSQL's text of a timestamptz in UTC ("2026-11-21 13:51:54.123456+00") to microseconds since 1970. False
// for what RFC 3339 cannot say: infinity, and years before 1 or after 9999.
bool query_parse_time(struct slice text, int64_t *micros);

#endif
