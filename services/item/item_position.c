#include "services/item/item_position.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/codec.h"

// A token is the base64url of a version, the clock and the id, both with the high byte first.
enum { VERSION = 1, NUMBER_SIZE = 8, BYTES = 1 + 2 * NUMBER_SIZE };

int item_position_compare(struct item_position a, struct item_position b)
{
  if (a.clock != b.clock)
    return a.clock < b.clock ? -1 : 1;
  return (a.id > b.id) - (a.id < b.id);
}

static void put_number(char *out, int64_t number)
{
  for (int i = 0; i < NUMBER_SIZE; i++)
    out[i] = (char)((uint64_t)number >> (8 * (NUMBER_SIZE - 1 - i)));
}

static int64_t get_number(const char *in)
{
  uint64_t number = 0;
  for (int i = 0; i < NUMBER_SIZE; i++)
    number = number << 8 | (uint8_t)in[i];
  return (int64_t)number;
}

void item_position_write(struct item_position position, char token[ITEM_TOKEN_SIZE])
{
  char bytes[BYTES] = {VERSION};
  put_number(bytes + 1, position.clock);
  put_number(bytes + 1 + NUMBER_SIZE, position.id);
  struct strbuf text;
  strbuf_init(&text, 0);
  base64url_encode(slice_make(bytes, BYTES), &text);
  CHECK(text.size == ITEM_TOKEN_SIZE - 1);
  memcpy(token, strbuf_cstring(&text), ITEM_TOKEN_SIZE);
  strbuf_free(&text);
}

bool item_position_read(struct slice token, struct item_position *position)
{
  struct strbuf bytes;
  strbuf_init(&bytes, BYTES);
  bool good = base64_decode(token, &bytes) && bytes.size == BYTES && bytes.data[0] == VERSION;
  if (good)
    *position = (struct item_position){get_number(bytes.data + 1), get_number(bytes.data + 1 + NUMBER_SIZE)};
  strbuf_free(&bytes);
  return good && position->clock >= 0 && position->id >= 0;
}
