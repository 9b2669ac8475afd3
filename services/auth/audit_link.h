// The arithmetic of the audit log's chain: hashes of links, and the texts of signed heads. Pure.
//
// A link's hash is the SHA-256 of the hash before, the position and all columns of the event, each with its length in
// front, so that no two events have the same bytes.
#ifndef BULKHEAD_SERVICES_AUTH_AUDIT_LINK_H
#define BULKHEAD_SERVICES_AUTH_AUDIT_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"

#define AUDIT_HASH_BYTES 32
#define AUDIT_HASH_TEXT_SIZE (2 * AUDIT_HASH_BYTES + 1)

struct audit_hash {
  unsigned char bytes[AUDIT_HASH_BYTES];
};

// An event as its columns, as texts; what they are is in queries/audit.sql. No columns: the event is missing.
struct audit_record {
  char *const *columns;
  size_t count;
};

struct audit_hash audit_link_hash(const struct audit_hash *before, int64_t position, const struct audit_record *record);
// Writes the hexadecimal digits of a hash, with a zero.
void audit_hash_text(const struct audit_hash *hash, char out[AUDIT_HASH_TEXT_SIZE]);
bool audit_hash_equal(const struct audit_hash *a, const struct audit_hash *b);

// What the chain is at some time: the positions `first` to `last`, none where last = first - 1.
struct audit_head {
  int64_t first;
  int64_t last;
  struct audit_hash anchor;  // the hash before the first link: that of the last one that was removed; zeros at first
  struct audit_hash hash;    // of the last link; the anchor where there is none
};

// Returns the head of a chain without links.
struct audit_head audit_head_of_nothing(void);
// Writes a head as three words: "1-20", the hash, the anchor.
struct audit_head_words {
  const char *range;
  const char *hash;
  const char *anchor;
};
struct audit_head_words audit_head_write(const struct audit_head *head, struct arena *arena);
// Reads these words. False for anything else.
bool audit_head_read(struct slice range, struct slice hash, struct slice anchor, struct audit_head *head);

#endif
