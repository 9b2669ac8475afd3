// Declares what bulkhead-query knows about a service's queries. Texts are slices of the .sql files, so that each of
// them can be found again by file and line. One arena holds everything; the process ends with it.
//
//   source.c       .sql files -> annotations and tokens
//   migrations.c   the numbers of the migrations
//   resolve.c      names -> messages, fields, fragments and parameters
//   statement.c    tokens -> SQL with $1, $2, ...; of a list one statement for every combination of filters, order,
//                  direction and page; each piece remembers where it comes from
//   stored.c       which fields that clients write no INSERT or UPDATE stores
//   requested.c    which filters and orders that clients may ask for no list has
//   messages.c     the messages of the contracts, from the protoset
//   server.c       a private PostgreSQL, migrated as the service migrates itself
//   describe.c     what PostgreSQL says of each statement
//   gathered.c     whether a gathered change takes each row by its key
//   kept.c         what PostgreSQL said the last time
//   bind.c         PostgreSQL's types and the contract's fields -> C
//   emit_*.c       everything above -> C text
//   plans.c        which plans scan a table
#ifndef BULKHEAD_QUERY_MODEL_H
#define BULKHEAD_QUERY_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/strbuf.h"
#include "proto/query/messages.h"

// How many statements a list may have: 2 directions * 2 (first page, later page) * orders * 2^filters.
#define MAX_PAGE_STATEMENTS 1024
// How many parameters a statement may have; the same number as in common/storage/pg.h.
#define MAX_PARAMETERS 24
// How many fields a statement may leave out.
#define MAX_OMISSIONS 24

struct sql_file {
  const char *path;
  struct slice text;
};

enum token_kind {
  TOKEN_SQL,    // text that PostgreSQL gets unchanged
  TOKEN_PARAM,  // :name, :item.sku, each with "?" where NULL is allowed
  TOKEN_HOLE,   // {name}: a fragment, or a part of a page
};

struct token {
  enum token_kind kind;
  struct slice text;  // of a parameter and of a hole: the name
  bool nullable;
};

struct tokens {
  struct token *items;
  size_t count;
  bool inserts;  // it has the words of an INSERT or a MERGE
  bool updates;  // it has the words of an UPDATE; FOR UPDATE is none
};

struct fragment {
  struct slice name;
  struct tokens body;
};

enum rows {
  ROWS_ONE,
  ROWS_MANY,
  ROWS_EXEC,
  ROWS_AFFECTED,
  ROWS_GATHERED,
  ROWS_PAGE,
  ROWS_COUNT,
};

// Whether a query changes anything, where its file says so.
enum effect { EFFECT_UNSAID, EFFECT_WRITES, EFFECT_READS };

// An argument of a query's function that is a message or an array of messages: "-- params: item.v1.Item[] as items".
struct argument {
  struct slice at;  // the annotation's value
  struct slice name;
  const struct message *message;
  bool repeated;
  bool used;
};

// A field of an argument that the statement leaves out, for a reason: "-- without item.note: why". For a list also a
// field of its request, with an `argument` of NULL: "-- without colour: why".
struct omission {
  struct slice at;
  const struct argument *argument;
  const struct field *field;
};

// A parameter of a query. It is listed once, however often the SQL names it.
struct parameter {
  struct slice at;  // its first use in the SQL
  struct slice name;
  struct slice member;  // the field of the argument that it takes; empty for a parameter that is no message
  const struct argument *argument;
  const struct field *field;
  bool nullable;
  unsigned type;  // OID of PostgreSQL's type
  const char *kind;
};

struct column {
  const char *name;
  unsigned type;
  bool nullable;
  const struct field *field;  // the field of the row that it is ordered by
  const char *kind;
};

struct filter {
  struct slice name;
  struct tokens condition;
  const struct field *field;  // the field of the request with this name
};

struct order {
  struct slice at;
  struct slice name;  // "createTime"
  struct tokens expression;
  struct slice id;  // the unique column that breaks ties
  const struct field *field;
  unsigned type;
};

// What PostgreSQL described of a query, now or in an earlier build.
struct description {
  unsigned types[MAX_PARAMETERS];
  size_t type_count;
  struct column *columns;
  size_t column_count;
  bool read_only;
};

struct query_source {
  const char *service;
  struct slice name;
  enum rows rows;
  struct slice comment;  // the prose above the SQL; becomes the comment of the function
  struct tokens body;

  const struct message *row;
  struct slice row_at;
  struct argument arguments[4];
  size_t argument_count;
  struct omission omissions[MAX_OMISSIONS];
  size_t omission_count;
  struct parameter parameters[MAX_PARAMETERS];
  size_t parameter_count;

  bool dedicated;      // a read that gets a connection to itself, because it may take long
  enum effect effect;  // what the file says; a query that says nothing is judged by its plan
  struct slice scan;   // why its plan may scan a table; empty where it must not
  struct slice not_null;
  struct slice nullable;

  // The members below are for ROWS_PAGE only.
  const struct message *request;
  const struct message *response;
  struct slice request_at;
  struct slice response_at;
  struct filter filters[12];
  size_t filter_count;
  struct order orders[12];
  size_t order_count;
  struct slice default_order;
  uint32_t page_size;
  const struct field *id_field;

  struct description description;
};

struct service_source {
  const char *name;
  struct sql_file *files;
  size_t file_count;
  struct sql_file *migrations;  // *.up.sql, in their order
  size_t migration_count;
  struct sql_file *common_migrations;  // those of every service
  size_t common_migration_count;
  struct fragment *fragments;
  size_t fragment_count;
  struct query_source *queries;
  size_t query_count;
};

// A part of a statement's SQL and the place in a .sql file that it comes from.
struct piece {
  size_t at;  // offset in the SQL
  const char *source;
};

// A statement for PostgreSQL, with $1, $2, ... for its parameters.
struct statement {
  const char *name;
  const char *sql;
  struct piece *pieces;
  size_t piece_count;
};

// ---- findings ----

struct findings {
  struct strbuf text;
  size_t count;
};

// Appends a finding: "services/item/queries/items.sql:12: get: ...". The line is that of `at`, which points into one of
// the service's files, queries or migrations. `query` is NULL for text that belongs to no query.
void findings_add(struct findings *findings, const struct service_source *service, const struct query_source *query,
                  const char *at, const char *format, ...) PRINTF_LIKE(5, 6);

#endif
