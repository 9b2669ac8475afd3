// QR codes as pictures. That a camera's program reads one is tried in tests/web.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/security/qr_code.h"

#define MARGIN 4
#define MAX_SIDE 185

static struct arena arena;

static void setup(void)
{
  arena_init(&arena);
}

static void teardown(void)
{
  arena_free(&arena);
}

TestSuite(qr_code, .init = setup, .fini = teardown);

// The dark modules of a picture, read back from its lines.
struct picture {
  bool dark[MAX_SIDE][MAX_SIDE];
  int side;
};

// Takes `before` and a number off the front.
static int take(const char **at, const char *before)
{
  cr_assert_eq(strncmp(*at, before, strlen(before)), 0, "%.40s", *at);
  char *end;
  long number = strtol(*at + strlen(before), &end, 10);
  cr_assert(number >= 0 && number <= MAX_SIDE, "%.40s", *at);
  *at = end;
  return (int)number;
}

static void read_picture(const char *svg, struct picture *picture)
{
  memset(picture, 0, sizeof(*picture));
  const char *at = svg;
  picture->side = take(&at, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ");
  int side = picture->side;
  cr_assert_eq(take(&at, " "), side);
  for (at = strstr(svg, "stroke="); (at = strchr(at, 'M')) != NULL;) {
    int x = take(&at, "M"), y = take(&at, " "), run = take(&at, ".5h");
    cr_assert(run > 0 && x >= MARGIN && y >= MARGIN && x + run <= side - MARGIN && y < side - MARGIN, "%.20s", at);
    for (int i = 0; i < run; i++)
      picture->dark[y][x + i] = true;
  }
}

// The squares in three corners, by which readers find a code (ISO/IEC 18004, 6.3.3).
static void expect_finder(const struct picture *picture, int left, int top)
{
  for (int y = 0; y < 7; y++)
    for (int x = 0; x < 7; x++) {
      bool ring = x == 0 || x == 6 || y == 0 || y == 6;
      bool core = x >= 2 && x <= 4 && y >= 2 && y <= 4;
      cr_expect_eq(picture->dark[top + y][left + x], ring || core, "%d, %d of the one at %d, %d", x, y, left, top);
    }
}

Test(qr_code, is_a_square_with_a_margin_and_three_finders)
{
  struct picture picture;
  read_picture(qr_code_svg("otpauth://totp/Bulkhead:ada%40example.com?secret=GEZDGNBVGY3TQOJQ", &arena), &picture);
  int last = picture.side - MARGIN - 7;
  cr_expect_eq((picture.side - 2 * MARGIN - 17) % 4, 0, "%d", picture.side);
  expect_finder(&picture, MARGIN, MARGIN);
  expect_finder(&picture, last, MARGIN);
  expect_finder(&picture, MARGIN, last);
  // The line between two of them by which readers count modules.
  for (int x = MARGIN + 8; x < last; x++)
    cr_expect_eq(picture.dark[MARGIN + 6][x], (x - MARGIN) % 2 == 0, "%d", x);
}

Test(qr_code, of_another_text_is_another)
{
  const char *svg = qr_code_svg("a", &arena);
  cr_expect_str_eq(svg, qr_code_svg("a", &arena));
  cr_expect_str_neq(svg, qr_code_svg("A", &arena));
}

Test(qr_code, holds_so_much_and_no_more)
{
  char text[2333];
  memset(text, 'a', sizeof(text));
  text[2331] = '\0';
  struct picture picture;
  read_picture(qr_code_svg(text, &arena), &picture);
  cr_expect_eq(picture.side, MAX_SIDE);
  text[2331] = 'a';
  text[2332] = '\0';
  cr_expect_null(qr_code_svg(text, &arena));
  cr_expect_null(qr_code_svg("", &arena));
}
