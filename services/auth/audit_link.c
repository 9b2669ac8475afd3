#include "services/auth/audit_link.h"

#include <string.h>

#include "common/base/codec.h"
#include "common/base/strbuf.h"
#include "common/security/key.h"

static void add_number(struct strbuf *out, uint64_t number)
{
  for (int shift = 56; shift >= 0; shift -= 8)
    strbuf_add_byte(out, (char)(unsigned char)(number >> shift));
}

struct audit_hash audit_link_hash(const struct audit_hash *before, int64_t position, const struct audit_record *record)
{
  struct strbuf bytes;
  strbuf_init(&bytes, 0);
  strbuf_add(&bytes, slice_make((const char *)before->bytes, sizeof(before->bytes)));
  add_number(&bytes, (uint64_t)position);
  add_number(&bytes, record->count);
  for (size_t i = 0; i < record->count; i++) {
    add_number(&bytes, strlen(record->columns[i]));
    strbuf_add_string(&bytes, record->columns[i]);
  }
  struct audit_hash hash = {{0}};
  key_sha256(strbuf_slice(&bytes), hash.bytes);
  strbuf_free(&bytes);
  return hash;
}

void audit_hash_text(const struct audit_hash *hash, char out[AUDIT_HASH_TEXT_SIZE])
{
  *hex_encode(hash->bytes, sizeof(hash->bytes), out) = '\0';
}

bool audit_hash_equal(const struct audit_hash *a, const struct audit_hash *b)
{
  return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

struct audit_head audit_head_of_nothing(void)
{
  return (struct audit_head){.first = 1, .last = 0};
}

static const char *write_hash(const struct audit_hash *hash, struct arena *arena)
{
  char *text = arena_alloc(arena, AUDIT_HASH_TEXT_SIZE);
  audit_hash_text(hash, text);
  return text;
}

struct audit_head_words audit_head_write(const struct audit_head *head, struct arena *arena)
{
  return (struct audit_head_words){
      .range = arena_printf(arena, "%lld-%lld", (long long)head->first, (long long)head->last),
      .hash = write_hash(&head->hash, arena),
      .anchor = write_hash(&head->anchor, arena),
  };
}

bool audit_head_read(struct slice range, struct slice hash, struct slice anchor, struct audit_head *head)
{
  size_t dash = slice_find(range, '-', 0);
  return dash < range.size && slice_to_int64(slice_make(range.data, dash), 1, INT64_MAX, &head->first) &&
         slice_to_int64(slice_skip(range, dash + 1), head->first - 1, INT64_MAX - 1, &head->last) &&
         hex_decode(hash, head->hash.bytes, sizeof(head->hash.bytes)) &&
         hex_decode(anchor, head->anchor.bytes, sizeof(head->anchor.bytes));
}
