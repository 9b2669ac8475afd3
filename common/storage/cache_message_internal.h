// What the instances of a cache tell each other, as text, because NOTIFY carries text. A message is lines; each ends
// with a line feed, and its words are parted by single spaces:
//
//   <sender> <epoch> <redis>     first, and alone in a sign of life; redis: 1 where the sender can use it, else 0
//   i <sequence> <key> ...       the sender is about to change these keys; its sequences only grow
//   r <first> <last>             these changes have ended, and what they did can be read
//   a <instance> <sequence>      the sender has taken in what that instance announced, up to this sequence
//   q                            the sender serves nothing any more
//
// Keys are bytes: those that are not printable ASCII, space and '%' are written %XX.
#ifndef BULKHEAD_STORAGE_CACHE_MESSAGE_INTERNAL_H
#define BULKHEAD_STORAGE_CACHE_MESSAGE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/strbuf.h"
#include "common/storage/cache.h"

enum cache_line_kind { CACHE_LINE_HEAD, CACHE_LINE_CHANGE, CACHE_LINE_ENDED, CACHE_LINE_ACK, CACHE_LINE_QUIT };

struct cache_line {
  enum cache_line_kind kind;
  struct slice instance;  // HEAD: the sender; ACK: whose announcements
  uint64_t first;         // HEAD: the epoch; CHANGE, ACK: the sequence; ENDED: the first one
  uint64_t last;          // HEAD: 1 where the sender can use Redis, else 0; ENDED: the last sequence
  struct slice keys;      // CHANGE: for cache_message_next_key
};

// Takes the next line off `message`. False at the end, and for a line that this version does not know: then `message`
// still holds something.
bool cache_message_next(struct slice *message, struct cache_line *line);
// Takes the next key off `keys`, decoded into `key`, which has room for `size` bytes. False at the end, and for a key
// that is malformed or too long: then `keys` still holds something.
bool cache_message_next_key(struct slice *keys, char *key, size_t size, size_t *key_size);

void cache_message_add_head(struct strbuf *message, const char *instance, uint64_t epoch, bool redis);
void cache_message_add_ended(struct strbuf *message, uint64_t first, uint64_t last);
void cache_message_add_ack(struct strbuf *message, const char *instance, uint64_t sequence);
void cache_message_add_quit(struct strbuf *message);
// A line of changed keys is begun, filled and closed.
void cache_message_begin_change(struct strbuf *message, uint64_t sequence);
void cache_message_add_key(struct strbuf *message, struct slice key);
void cache_message_end_change(struct strbuf *message);
// Returns the bytes that a key takes in a line.
size_t cache_message_key_size(struct slice key);

#endif
