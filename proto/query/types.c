#include "proto/query/types.h"

#include <stddef.h>
#include <string.h>

#include "common/base/compiler.h"

static const struct {
  unsigned oid;
  enum type_class class;
  const char *name;
} TYPES[] = {
    {16, CLASS_BOOL, "boolean"},      {17, CLASS_BYTES, "bytea"},
    {20, CLASS_BIGINT, "bigint"},     {21, CLASS_INT, "smallint"},
    {23, CLASS_INT, "integer"},       {25, CLASS_TEXT, "text"},
    {19, CLASS_TEXT, "name"},         {114, CLASS_TEXT, "json"},
    {700, CLASS_DOUBLE, "real"},      {701, CLASS_DOUBLE, "double precision"},
    {1042, CLASS_TEXT, "character"},  {1043, CLASS_TEXT, "varchar"},
    {1082, CLASS_TEXT, "date"},       {1184, CLASS_TIME, "timestamptz"},
    {1700, CLASS_TEXT, "numeric"},    {2950, CLASS_TEXT, "uuid"},
    {3802, CLASS_TEXT, "jsonb"},      {1009, CLASS_TEXTS, "text[]"},
    {1015, CLASS_TEXTS, "varchar[]"}, {1231, CLASS_TEXTS, "numeric[]"},
    {2951, CLASS_TEXTS, "uuid[]"},    {199, CLASS_TEXTS, "json[]"},
    {1016, CLASS_INTS, "bigint[]"},   {1007, CLASS_INTS, "integer[]"},
    {705, CLASS_TEXT, "text"},        {869, CLASS_TEXT, "inet"},
    {1186, CLASS_TEXT, "interval"},
};

enum type_class type_class(unsigned oid)
{
  for (size_t i = 0; i < ARRAY_LEN(TYPES); i++)
    if (TYPES[i].oid == oid)
      return TYPES[i].class;
  return CLASS_UNKNOWN;
}

const char *type_name(unsigned oid)
{
  for (size_t i = 0; i < ARRAY_LEN(TYPES); i++)
    if (TYPES[i].oid == oid)
      return TYPES[i].name;
  return "a type that has no form in C; cast it, for example to text";
}

bool type_is_time(unsigned oid)
{
  return type_class(oid) == CLASS_TIME;
}

const char *type_kind(unsigned oid)
{
  static const char *const KINDS[] = {
      [CLASS_UNKNOWN] = NULL,  [CLASS_TEXT] = "TEXT",     [CLASS_INT] = "INT64",   [CLASS_BIGINT] = "INT64",
      [CLASS_BOOL] = "BOOL",   [CLASS_DOUBLE] = "DOUBLE", [CLASS_BYTES] = "BYTES", [CLASS_TIME] = "MICROS",
      [CLASS_TEXTS] = "TEXTS", [CLASS_INTS] = "INT64S",
  };
  return KINDS[type_class(oid)];
}

const char *type_field_kind(unsigned oid, const struct field *field)
{
  enum type_class class = type_class(oid);
  if (field->repeated)
    return field->type == FIELD_STRING && class == CLASS_TEXTS ? "FIELD_TEXTS" : NULL;
  bool number = class == CLASS_INT || class == CLASS_BIGINT;
  switch (field->type) {
  case FIELD_STRING:
    // An optional text may be present and empty, so an empty one must not become NULL.
    return class == CLASS_TEXT || number ? (field->optional ? "TEXT" : "FIELD_TEXT") : NULL;
  case FIELD_INT32:
    return class == CLASS_INT ? "FIELD_INT32" : NULL;
  case FIELD_INT64:
    return number ? "INT64" : NULL;
  case FIELD_BOOL:
    return class == CLASS_BOOL ? "FIELD_BOOL" : NULL;
  case FIELD_DOUBLE:
    return class == CLASS_DOUBLE ? "DOUBLE" : NULL;
  case FIELD_BYTES:
    return class == CLASS_BYTES ? "FIELD_BYTES" : NULL;
  case FIELD_TIME:
    return class == CLASS_TIME ? "FIELD_TIME" : NULL;
  case FIELD_MESSAGE:
  case FIELD_OTHER:
    break;
  }
  return NULL;
}

bool type_fits_array(const struct field *field)
{
  return field->type == FIELD_STRING || field->type == FIELD_INT32 || field->type == FIELD_INT64;
}

const char *type_each_kind(unsigned oid, const struct field *field)
{
  enum type_class class = type_class(oid);
  if (field->type == FIELD_STRING && class == CLASS_TEXTS && field->repeated)
    return "FIELD_TEXTS";
  // An optional text may be present and empty, so an empty one must not become NULL.
  if (field->type == FIELD_STRING && class == CLASS_TEXTS)
    return field->optional ? "TEXT" : "FIELD_TEXT";
  if (!field->repeated && field->type == FIELD_INT32 && class == CLASS_INTS)
    return "FIELD_INT32";
  return !field->repeated && field->type == FIELD_INT64 && class == CLASS_INTS ? "INT64" : NULL;
}
