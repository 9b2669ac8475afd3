#include "common/base/plain_text.h"

#include <stdint.h>
#include <string.h>

#include "common/base/compiler.h"

// Reads the code point at the beginning of valid UTF-8 text that is not empty, and returns how many bytes it has.
static size_t read_code_point(const char *text, uint32_t *code_point)
{
  unsigned char first = (unsigned char)text[0];
  size_t size = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  *code_point = size == 1 ? first : first & (0xFFu >> (size + 1));
  for (size_t i = 1; i < size; i++)
    *code_point = *code_point << 6 | ((unsigned char)text[i] & 0x3Fu);
  return size;
}

// Control characters, and those of Unicode's category Cf and its like that show nothing or turn the text around.
static bool is_plain(uint32_t code_point)
{
  static const uint32_t hidden[][2] = {
      {0x00, 0x1F},     {0x7F, 0x9F},     {0xAD, 0xAD},     {0x34F, 0x34F},   {0x61C, 0x61C},    {0x115F, 0x1160},
      {0x17B4, 0x17B5}, {0x180B, 0x180F}, {0x200B, 0x200F}, {0x2028, 0x202E}, {0x2060, 0x206F},  {0x3164, 0x3164},
      {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF}, {0xFFA0, 0xFFA0}, {0xFFF0, 0xFFFB}, {0xE0000, 0xE0FFF}};
  for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
    if (code_point >= hidden[i][0] && code_point <= hidden[i][1])
      return false;
  return true;
}

bool plain_text_check(struct slice text)
{
  uint32_t code_point;
  for (size_t at = 0; at < text.size;) {
    at += read_code_point(text.data + at, &code_point);
    if (!is_plain(code_point))
      return false;
  }
  return true;
}

size_t plain_text_copy(struct slice text, size_t most, char *out)
{
  size_t size = 0;
  size_t count = 0;
  for (size_t at = 0; at < text.size && count < most;) {
    uint32_t code_point;
    size_t bytes = read_code_point(text.data + at, &code_point);
    if (is_plain(code_point)) {
      memcpy(out + size, text.data + at, bytes);
      size += bytes;
      count++;
    }
    at += bytes;
  }
  return size;
}
