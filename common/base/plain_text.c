#include "common/base/plain_text.h"

#include <stdint.h>
#include <string.h>

#include "common/base/compiler.h"

#define ZERO_WIDTH_NON_JOINER 0x200C
#define ZERO_WIDTH_JOINER 0x200D
#define EMOJI_VARIANT 0xFE0F
#define KEYCAP 0x20E3

struct range {
  uint32_t first;
  uint32_t last;
};

// Control characters, and those of Unicode's category Cf and its like that show nothing or turn the text around.
static const struct range hidden[] = {
    {0x00, 0x1F},       {0x7F, 0x9F},       {0xAD, 0xAD},       {0x34F, 0x34F},   {0x61C, 0x61C},   {0x115F, 0x1160},
    {0x17B4, 0x17B5},   {0x180B, 0x180F},   {0x200B, 0x200F},   {0x2028, 0x202E}, {0x2060, 0x206F}, {0x2800, 0x2800},
    {0x3164, 0x3164},   {0xFE00, 0xFE0F},   {0xFEFF, 0xFEFF},   {0xFFA0, 0xFFA0}, {0xFFF0, 0xFFFB}, {0x13430, 0x1345F},
    {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},
};

// Emoji (the property of that name), without digits, letters of flags and tones of skin.
static const struct range pictographs[] = {
    {0xA9, 0xA9},       {0xAE, 0xAE},       {0x203C, 0x203C},   {0x2049, 0x2049},   {0x2122, 0x2122},
    {0x2139, 0x2139},   {0x2194, 0x2199},   {0x21A9, 0x21AA},   {0x231A, 0x231B},   {0x2328, 0x2328},
    {0x23CF, 0x23CF},   {0x23E9, 0x23F3},   {0x23F8, 0x23FA},   {0x24C2, 0x24C2},   {0x25AA, 0x25AB},
    {0x25B6, 0x25B6},   {0x25C0, 0x25C0},   {0x25FB, 0x25FE},   {0x2600, 0x2604},   {0x260E, 0x260E},
    {0x2611, 0x2611},   {0x2614, 0x2615},   {0x2618, 0x2618},   {0x261D, 0x261D},   {0x2620, 0x2620},
    {0x2622, 0x2623},   {0x2626, 0x2626},   {0x262A, 0x262A},   {0x262E, 0x262F},   {0x2638, 0x263A},
    {0x2640, 0x2640},   {0x2642, 0x2642},   {0x2648, 0x2653},   {0x265F, 0x2660},   {0x2663, 0x2663},
    {0x2665, 0x2666},   {0x2668, 0x2668},   {0x267B, 0x267B},   {0x267E, 0x267F},   {0x2692, 0x2697},
    {0x2699, 0x2699},   {0x269B, 0x269C},   {0x26A0, 0x26A1},   {0x26A7, 0x26A7},   {0x26AA, 0x26AB},
    {0x26B0, 0x26B1},   {0x26BD, 0x26BE},   {0x26C4, 0x26C5},   {0x26C8, 0x26C8},   {0x26CE, 0x26CF},
    {0x26D1, 0x26D1},   {0x26D3, 0x26D4},   {0x26E9, 0x26EA},   {0x26F0, 0x26F5},   {0x26F7, 0x26FA},
    {0x26FD, 0x26FD},   {0x2702, 0x2702},   {0x2705, 0x2705},   {0x2708, 0x270D},   {0x270F, 0x270F},
    {0x2712, 0x2712},   {0x2714, 0x2714},   {0x2716, 0x2716},   {0x271D, 0x271D},   {0x2721, 0x2721},
    {0x2728, 0x2728},   {0x2733, 0x2734},   {0x2744, 0x2744},   {0x2747, 0x2747},   {0x274C, 0x274C},
    {0x274E, 0x274E},   {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2763, 0x2764},   {0x2795, 0x2797},
    {0x27A1, 0x27A1},   {0x27B0, 0x27B0},   {0x27BF, 0x27BF},   {0x2934, 0x2935},   {0x2B05, 0x2B07},
    {0x2B1B, 0x2B1C},   {0x2B50, 0x2B50},   {0x2B55, 0x2B55},   {0x3030, 0x3030},   {0x303D, 0x303D},
    {0x3297, 0x3297},   {0x3299, 0x3299},   {0x1F004, 0x1F004}, {0x1F0CF, 0x1F0CF}, {0x1F170, 0x1F171},
    {0x1F17E, 0x1F17F}, {0x1F18E, 0x1F18E}, {0x1F191, 0x1F19A}, {0x1F201, 0x1F202}, {0x1F21A, 0x1F21A},
    {0x1F22F, 0x1F22F}, {0x1F232, 0x1F23A}, {0x1F250, 0x1F251}, {0x1F300, 0x1F3FA}, {0x1F400, 0x1F64F},
    {0x1F680, 0x1F6FF}, {0x1F7E0, 0x1F7F0}, {0x1F90C, 0x1F9FF}, {0x1FA70, 0x1FAFF},
};

static const struct range skin_tones[] = {{0x1F3FB, 0x1F3FF}};

// Arabic letters that join to the next letter, and those that join to the one before (Joining_Type D, and D or R).
static const struct range joins_next[] = {
    {0x620, 0x620}, {0x626, 0x626}, {0x628, 0x628}, {0x62A, 0x62E}, {0x633, 0x63F}, {0x641, 0x647},
    {0x649, 0x64A}, {0x66E, 0x66F}, {0x678, 0x687}, {0x69A, 0x6BF}, {0x6C1, 0x6C2}, {0x6CC, 0x6CC},
    {0x6CE, 0x6CE}, {0x6D0, 0x6D1}, {0x6FA, 0x6FC}, {0x6FF, 0x6FF}, {0x750, 0x758}, {0x75C, 0x76A},
    {0x76D, 0x770}, {0x772, 0x772}, {0x775, 0x777}, {0x77A, 0x77F},
};
static const struct range joins_before[] = {
    {0x620, 0x620}, {0x622, 0x63F}, {0x641, 0x64A}, {0x66E, 0x66F}, {0x671, 0x673}, {0x675, 0x6D3},
    {0x6D5, 0x6D5}, {0x6EE, 0x6EF}, {0x6FA, 0x6FC}, {0x6FF, 0x6FF}, {0x750, 0x77F},
};

// Scripts of India and Sri Lanka, each in a block of its own of 128 code points.
static const struct range indic[] = {{0x900, 0xDFF}};

#define IS_ONE_OF(code_point, ranges) is_in((code_point), (ranges), ARRAY_LEN(ranges))

static bool is_in(uint32_t code_point, const struct range *ranges, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (code_point >= ranges[i].first && code_point <= ranges[i].last)
      return true;
  return false;
}

// Reads the code point at the beginning of valid UTF-8 text, and returns how many bytes it has. 0 for an empty text.
static size_t read_code_point(struct slice text, uint32_t *code_point)
{
  *code_point = 0;
  if (text.size == 0)
    return 0;
  unsigned char first = (unsigned char)text.data[0];
  size_t size = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  *code_point = size == 1 ? first : first & (0xFFu >> (size + 1));
  for (size_t i = 1; i < size; i++)
    *code_point = *code_point << 6 | ((unsigned char)text.data[i] & 0x3Fu);
  return size;
}

// The sign that takes the vowel from the consonant before it.
static bool is_virama(uint32_t code_point)
{
  return IS_ONE_OF(code_point, indic) && ((code_point & 0x7F) == 0x4D || code_point == 0xDCA);
}

static bool is_same_indic_script(uint32_t one, uint32_t other)
{
  return IS_ONE_OF(one, indic) && one >> 7 == other >> 7;
}

// RFC 5892, appendix A.1, for these scripts; narrower, because behind a last virama a non-joiner shows nothing.
static bool shows_non_joiner(uint32_t before, uint32_t next)
{
  return (is_virama(before) && is_same_indic_script(before, next)) ||
         (IS_ONE_OF(before, joins_next) && IS_ONE_OF(next, joins_before));
}

// RFC 5892, appendix A.2; Bengali and Kannada also write a joiner before the virama.
static bool shows_joiner(uint32_t before, uint32_t next)
{
  bool is_emoji = before == EMOJI_VARIANT || IS_ONE_OF(before, skin_tones) || IS_ONE_OF(before, pictographs);
  return is_virama(before) || (is_virama(next) && is_same_indic_script(before, next)) ||
         (is_emoji && IS_ONE_OF(next, pictographs));
}

static bool shows_emoji_variant(uint32_t before, uint32_t next)
{
  bool is_key = (before >= '0' && before <= '9') || before == '#' || before == '*';
  return IS_ONE_OF(before, pictographs) || (is_key && next == KEYCAP);
}

// Returns whether a code point between two others shows. 0 stands for the beginning and the end.
static bool is_plain(uint32_t before, uint32_t code_point, uint32_t next)
{
  switch (code_point) {
  case ZERO_WIDTH_NON_JOINER:
    return shows_non_joiner(before, next);
  case ZERO_WIDTH_JOINER:
    return shows_joiner(before, next);
  case EMOJI_VARIANT:
    return shows_emoji_variant(before, next);
  default:
    return !IS_ONE_OF(code_point, hidden);
  }
}

bool plain_text_check(struct slice text)
{
  uint32_t before = 0;
  while (text.size > 0) {
    uint32_t code_point;
    uint32_t next;
    text = slice_skip(text, read_code_point(text, &code_point));
    (void)read_code_point(text, &next);
    if (!is_plain(before, code_point, next))
      return false;
    before = code_point;
  }
  return true;
}

size_t plain_text_copy(struct slice text, size_t most, char *out)
{
  size_t size = 0;
  uint32_t before = 0;
  for (size_t count = 0; text.size > 0 && count < most;) {
    uint32_t code_point;
    uint32_t next;
    const char *bytes = text.data;
    size_t byte_count = read_code_point(text, &code_point);
    text = slice_skip(text, byte_count);
    (void)read_code_point(text, &next);
    if (!is_plain(before, code_point, count + 1 < most ? next : 0))
      continue;
    memcpy(out + size, bytes, byte_count);
    size += byte_count;
    before = code_point;
    count++;
  }
  return size;
}
