// Private to common/service: packs rows as protobuf messages straight from the cells of a result, byte for byte as
// protobuf-c packs the messages that the rows are read into.
#ifndef BULKHEAD_SERVICE_QUERY_PACK_INTERNAL_H
#define BULKHEAD_SERVICE_QUERY_PACK_INTERNAL_H

#include "common/base/strbuf.h"
#include "common/service/query.h"

// A result whose rows are packed. The query's rows must be messages.
struct query_packer {
  const struct query *query;
  const struct pg_result *result;
  struct arena *arena;  // for what is parsed on the way
};

// Makes an empty buffer, with about the room that all rows take. It is freed with the arena.
struct strbuf *query_pack_buffer(const struct query_packer *packer);
// Appends a row. INTERNAL, with a log line, for a row that does not fit the table of columns.
enum status query_pack_row(const struct query_packer *packer, size_t row, struct strbuf *out) MUST_CHECK;
// Packs the first row into the arena. NOT_FOUND where there is none.
enum status query_pack_first(const struct query *query, const struct pg_result *result, struct arena *arena,
                             struct slice *wire) MUST_CHECK;

#endif
