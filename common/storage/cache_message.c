#include "common/storage/cache_message_internal.h"

#include "common/base/check.h"
#include "common/base/compiler.h"

static const char HEX[] = "0123456789abcdef";

// ---- writing ----

void cache_message_add_head(struct strbuf *message, const char *instance, uint64_t epoch, bool redis)
{
  strbuf_printf(message, "%s %llu %d\n", instance, (unsigned long long)epoch, redis);
}

void cache_message_add_ended(struct strbuf *message, uint64_t first, uint64_t last)
{
  strbuf_printf(message, "r %llu %llu\n", (unsigned long long)first, (unsigned long long)last);
}

void cache_message_add_ack(struct strbuf *message, const char *instance, uint64_t sequence)
{
  strbuf_printf(message, "a %s %llu\n", instance, (unsigned long long)sequence);
}

void cache_message_add_quit(struct strbuf *message)
{
  strbuf_add_string(message, "q\n");
}

void cache_message_begin_change(struct strbuf *message, uint64_t sequence)
{
  strbuf_add_string(message, "i ");
  strbuf_add_uint(message, sequence);
}

static bool is_plain(unsigned char byte)
{
  return byte > ' ' && byte < 0x7f && byte != '%';
}

size_t cache_message_key_size(struct slice key)
{
  size_t size = 1;  // the space in front of it
  for (size_t i = 0; i < key.size; i++)
    size += is_plain((unsigned char)key.data[i]) ? 1 : 3;
  return size;
}

void cache_message_add_key(struct strbuf *message, struct slice key)
{
  strbuf_add_byte(message, ' ');
  for (size_t i = 0; i < key.size; i++) {
    unsigned char byte = (unsigned char)key.data[i];
    if (is_plain(byte)) {
      strbuf_add_byte(message, (char)byte);
      continue;
    }
    strbuf_add_byte(message, '%');
    strbuf_add_byte(message, HEX[byte >> 4]);
    strbuf_add_byte(message, HEX[byte & 15]);
  }
}

void cache_message_end_change(struct strbuf *message)
{
  strbuf_add_byte(message, '\n');
}

// ---- reading ----

// Takes the word in front of the next space, and the space.
static struct slice take_word(struct slice *text)
{
  size_t end = slice_find(*text, ' ', 0);
  CHECK(end == 0 || text->data != NULL);
  struct slice word = slice_make(text->data, end);
  *text = slice_skip(*text, end + 1);
  return word;
}

static bool take_number(struct slice *text, uint64_t *number)
{
  return slice_to_uint64(take_word(text), 0, UINT64_MAX, number);
}

static bool is_instance(struct slice word)
{
  if (word.size != CACHE_INSTANCE_SIZE - 1)
    return false;
  for (size_t i = 0; i < word.size; i++)
    if (slice_find(SLICE("0123456789abcdef"), word.data[i], 0) == 16)
      return false;
  return true;
}

static bool parse_words(struct slice first, struct slice rest, struct cache_line *line)
{
  char kind = first.size == 1 ? first.data[0] : '\0';
  switch (kind) {
  case 'i':
    line->kind = CACHE_LINE_CHANGE;
    if (!take_number(&rest, &line->first))
      return false;
    line->keys = rest;
    return true;
  case 'r':
    line->kind = CACHE_LINE_ENDED;
    return take_number(&rest, &line->first) && take_number(&rest, &line->last) && rest.size == 0;
  case 'a':
    line->kind = CACHE_LINE_ACK;
    line->instance = take_word(&rest);
    return is_instance(line->instance) && take_number(&rest, &line->first) && rest.size == 0;
  case 'q':
    line->kind = CACHE_LINE_QUIT;
    return rest.size == 0;
  default:
    line->kind = CACHE_LINE_HEAD;
    line->instance = first;
    return is_instance(first) && take_number(&rest, &line->first) &&
           slice_to_uint64(take_word(&rest), 0, 1, &line->last) && rest.size == 0;
  }
}

bool cache_message_next(struct slice *message, struct cache_line *line)
{
  *line = (struct cache_line){0};
  size_t end = slice_find(*message, '\n', 0);
  if (end == message->size)
    return false;
  struct slice words = slice_make(message->data, end);
  struct slice first = take_word(&words);
  if (!parse_words(first, words, line))
    return false;
  *message = slice_skip(*message, end + 1);
  return true;
}

static int read_digit(char byte)
{
  size_t value = slice_find(slice_make(HEX, 16), byte, 0);
  return value == 16 ? -1 : (int)value;
}

// Decodes one byte of a word. Returns how many bytes of the word it takes; 0 where it is malformed.
static size_t decode_byte(struct slice word, char *byte)
{
  *byte = word.data[0];
  if (*byte != '%')
    return is_plain((unsigned char)*byte) ? 1 : 0;
  int high = word.size >= 3 ? read_digit(word.data[1]) : -1;
  int low = word.size >= 3 ? read_digit(word.data[2]) : -1;
  if (high < 0 || low < 0)
    return 0;
  *byte = (char)(high << 4 | low);
  return 3;
}

bool cache_message_next_key(struct slice *keys, char *key, size_t size, size_t *key_size)
{
  *key_size = 0;
  if (keys->size == 0)
    return false;
  struct slice rest = *keys;
  struct slice word = take_word(&rest);
  while (word.size > 0) {
    char byte;
    size_t taken = decode_byte(word, &byte);
    if (taken == 0 || *key_size == size)
      return false;
    key[(*key_size)++] = byte;
    word = slice_skip(word, taken);
  }
  *keys = rest;
  return true;
}
