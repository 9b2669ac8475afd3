// Wire bytes translated to JSON in pieces. That the JSON is the same as at once is expected of everything that the
// other tests translate (fixture_expect_same_pieces).
#include <criterion/criterion.h>

#include "common/base/wire.h"
#include "tests/support/contract/fixture.h"

struct pieces_seen {
  size_t count, bytes, longest;
};

// Writes a list of 100 items whose names have 1,000 letters.
static struct pieces_seen write_list_in_pieces(size_t max_bytes)
{
  struct pieces_seen seen = {0};
  struct arena arena = {0};
  struct strbuf wire = {0}, json = {0};
  for (size_t i = 0; i < 100; i++) {
    size_t mark = wire_begin_nested(&wire, 1);
    wire_write_bytes(&wire, 4, slice_from_string(arena_printf(&arena, "%01000zu", i)));
    wire_end_nested(&wire, mark);
  }
  struct transcode_body body = {.message = fixture_message("item.v1.ListItemsResponse"), .wire = strbuf_slice(&wire)};
  struct transcode_pieces *pieces = transcode_pieces_begin(&body, &arena, &json);
  for (bool is_done = false; !is_done; seen.count++) {
    seen.bytes = json.size;
    cr_assert_eq(transcode_pieces_write(pieces, max_bytes, &is_done), STATUS_OK);
    if (json.size - seen.bytes > seen.longest)
      seen.longest = json.size - seen.bytes;
  }
  seen.bytes = json.size;
  arena_free(&arena);
  strbuf_free(&wire);
  strbuf_free(&json);
  return seen;
}

Test(pieces, end_with_the_value_that_makes_them_full)
{
  enum { MAX_BYTES = 10000, MORE_THAN_AN_ITEM = 1500 };
  struct pieces_seen seen = write_list_in_pieces(MAX_BYTES);
  cr_assert_leq(seen.longest, MAX_BYTES + MORE_THAN_AN_ITEM);
  cr_assert_leq(seen.count, seen.bytes / MAX_BYTES + 1);
  cr_assert_geq(seen.count, 9);
  cr_assert_eq(write_list_in_pieces(SIZE_MAX).count, 1);
}

Test(pieces, of_a_message_that_breaks_off_leave_nothing_of_the_first)
{
  struct arena arena = {0};
  struct strbuf wire = {0}, json = {0};
  size_t mark = wire_begin_nested(&wire, 1);
  wire_write_bytes(&wire, 4, SLICE("good"));
  wire_end_nested(&wire, mark);
  mark = wire_begin_nested(&wire, 1);
  wire_write_bytes(&wire, 4, SLICE("\xff"));
  wire_end_nested(&wire, mark);
  strbuf_add_string(&json, "kept");
  struct transcode_body body = {.message = fixture_message("item.v1.ListItemsResponse"), .wire = strbuf_slice(&wire)};
  struct transcode_pieces *pieces = transcode_pieces_begin(&body, &arena, &json);
  enum status status = STATUS_OK;
  bool is_done = false;
  size_t good = 0;
  while ((status = transcode_pieces_write(pieces, 1, &is_done)) == STATUS_OK && !is_done)
    good++;
  cr_assert_eq(status, STATUS_INTERNAL);
  cr_assert_gt(good, 1);
  cr_assert_str_eq(strbuf_cstring(&json), "kept");
  arena_free(&arena);
  strbuf_free(&wire);
  strbuf_free(&json);
}
