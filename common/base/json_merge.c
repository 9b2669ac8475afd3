#include "common/base/json_merge.h"

#include "common/base/jsontext_reader.h"
#include "common/base/jsontext_writer.h"
#include "common/base/strmap.h"

struct member {
  struct slice key;
  struct slice value;  // as written
  bool used;
  struct member *next;
};

// The members of an object, in their order. Of several with one key the last counts.
struct members {
  struct member *first;
  struct member **end;
  struct strmap by_key;
};

static bool is_null(struct slice value)
{
  return slice_equal(value, SLICE("null"));
}

static bool is_object(struct slice value)
{
  return value.size > 0 && value.data[0] == '{';
}

static void add_member(struct members *members, struct slice key, struct slice value, struct arena *arena)
{
  struct member *known = strmap_get(&members->by_key, key);
  if (known != NULL) {
    known->value = value;
    return;
  }
  struct member *member = arena_alloc(arena, sizeof(*member));
  *member = (struct member){.key = key, .value = value};
  (void)strmap_add(&members->by_key, key, member);
  *members->end = member;
  members->end = &member->next;
}

static bool read_members(struct slice text, struct arena *arena, struct members *members)
{
  struct jsontext_reader reader;
  struct slice value;
  enum jsontext_token token;
  *members = (struct members){0};
  members->end = &members->first;
  if (text.size == 0)
    return true;
  jsontext_reader_init(&reader, text, JSONTEXT_MAX_DEPTH, arena);
  if (jsontext_read(&reader) != JSONTEXT_OBJECT_BEGIN)
    return false;
  while ((token = jsontext_read(&reader)) == JSONTEXT_KEY) {
    struct slice key = reader.text;
    if (!jsontext_skip_value(&reader, &value))
      return false;
    add_member(members, key, slice_trim(value), arena);
  }
  return token == JSONTEXT_OBJECT_END && jsontext_read(&reader) == JSONTEXT_END;
}

static bool merge_object(struct jsontext_writer *writer, struct slice target, struct slice patch, struct arena *arena);

// Writes a member of the result. The recursion is as deep as the patch, JSONTEXT_MAX_DEPTH at most.
static bool write_member(struct jsontext_writer *writer, struct slice key, struct slice old, struct slice new,
                         struct arena *arena)
{
  if (is_null(new))
    return true;
  jsontext_key(writer, key);
  if (is_object(new))
    return merge_object(writer, is_object(old) ? old : SLICE(""), new, arena);
  jsontext_raw(writer, new);
  return true;
}

static bool write_merged(struct jsontext_writer *writer, const struct members *target, const struct members *patch,
                         struct arena *arena)
{
  bool whole = true;
  jsontext_begin_object(writer);
  for (const struct member *old = target->first; old != NULL && whole; old = old->next) {
    struct member *change = strmap_get(&patch->by_key, old->key);
    if (change == NULL) {
      jsontext_key(writer, old->key);
      jsontext_raw(writer, old->value);
      continue;
    }
    change->used = true;
    whole = write_member(writer, old->key, old->value, change->value, arena);
  }
  for (const struct member *change = patch->first; change != NULL && whole; change = change->next)
    if (!change->used)
      whole = write_member(writer, change->key, SLICE(""), change->value, arena);
  jsontext_end_object(writer);
  return whole;
}

static bool merge_object(struct jsontext_writer *writer, struct slice target, struct slice patch, struct arena *arena)
{
  struct members old, changes;
  bool whole = read_members(target, arena, &old);
  whole = read_members(patch, arena, &changes) && whole;
  whole = whole && write_merged(writer, &old, &changes, arena);
  strmap_free(&old.by_key);
  strmap_free(&changes.by_key);
  return whole;
}

bool json_merge(struct slice target, struct slice patch, struct arena *arena, struct strbuf *out)
{
  struct jsontext_writer writer;
  jsontext_writer_init(&writer, out);
  return merge_object(&writer, target, patch, arena) && !out->failed;
}
