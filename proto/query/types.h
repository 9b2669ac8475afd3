// Lists PostgreSQL's types that queries may use, by their OIDs, which are the same in every installation.
#ifndef BULKHEAD_QUERY_TYPES_H
#define BULKHEAD_QUERY_TYPES_H

#include <stdbool.h>

#include "proto/query/messages.h"

enum type_class {
  CLASS_UNKNOWN,
  CLASS_TEXT,  // every type whose values C holds as text: numeric, uuid, json, ...
  CLASS_INT,
  CLASS_BIGINT,
  CLASS_BOOL,
  CLASS_DOUBLE,
  CLASS_BYTES,
  CLASS_TIME,
  CLASS_TEXTS,
  CLASS_INTS,
};

enum type_class type_class(unsigned oid);
// Returns the name of a type: "bigint". For a type that is not listed here, a text that says so.
const char *type_name(unsigned oid);
bool type_is_time(unsigned oid);

// Return the enum query_kind (common/service/query.h) of a value of this type: in a struct of ours, in a message's
// field, or as an array of the fields of many messages. NULL where they do not fit.
const char *type_kind(unsigned oid);
const char *type_field_kind(unsigned oid, const struct field *field);
const char *type_each_kind(unsigned oid, const struct field *field);
// True where a field of many messages can be an array in SQL.
bool type_fits_array(const struct field *field);

#endif
