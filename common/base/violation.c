// A violation's texts come partly from the client, so each is cut at a length that an answer can carry.
#include "common/base/violation.h"

#define MAX_FIELD_BYTES 256
#define MAX_DESCRIPTION_BYTES 512

void violations_init(struct violations *violations, struct arena *arena)
{
  *violations = (struct violations){.arena = arena};
}

// Cuts the text to at most `max_bytes`, never in the middle of a UTF-8 sequence.
static struct slice cut_text(struct slice text, size_t max_bytes)
{
  if (text.size <= max_bytes)
    return text;
  size_t size = max_bytes;
  while (size > 0 && ((unsigned char)text.data[size] & 0xC0) == 0x80)
    size--;
  return slice_make(text.data, size);
}

void violations_add(struct violations *violations, struct slice field, struct slice description)
{
  if (violations->count == VIOLATIONS_MAX) {
    violations->more++;
    return;
  }
  violations->items[violations->count++] = (struct violation){
      .field = arena_copy(violations->arena, cut_text(field, MAX_FIELD_BYTES)),
      .description = arena_copy(violations->arena, cut_text(description, MAX_DESCRIPTION_BYTES)),
  };
}
