// The arithmetic of the audit log's chain.
#include <criterion/criterion.h>

#include "services/auth/audit_link.h"

static struct audit_hash link_of(int64_t position, char **columns, size_t count)
{
  struct audit_hash before = audit_head_of_nothing().anchor;
  const struct audit_record record = {.columns = columns, .count = count};
  return audit_link_hash(&before, position, &record);
}

Test(audit_link, rests_on_all_that_it_covers)
{
  char *columns[] = {"a", "bc", ""};
  struct audit_hash link = link_of(1, columns, 3);
  struct audit_hash same = link_of(1, columns, 3);
  cr_expect(audit_hash_equal(&link, &same));
  struct audit_hash others[] = {
      link_of(2, columns, 3),
      link_of(1, columns, 2),
      link_of(1, (char *[]){"ab", "c", ""}, 3),
      link_of(1, (char *[]){"a", "", "bc"}, 3),
      link_of(1, (char *[]){"a", "bd", ""}, 3),
  };
  for (size_t i = 0; i < ARRAY_LEN(others); i++)
    cr_expect_not(audit_hash_equal(&link, &others[i]), "%zu", i);
  const struct audit_record record = {.columns = columns, .count = 3};
  struct audit_hash behind = audit_link_hash(&link, 1, &record);
  cr_expect_not(audit_hash_equal(&link, &behind));
}

Test(audit_link, a_head_is_read_as_it_was_written)
{
  struct arena arena = {0};
  char *columns[] = {"a"};
  struct audit_head head = {.first = 4, .last = 17, .anchor = link_of(3, columns, 1), .hash = link_of(17, columns, 1)};
  struct audit_head_words words = audit_head_write(&head, &arena);
  cr_expect_str_eq(words.range, "4-17");
  struct audit_head read = {0};
  cr_assert(audit_head_read(slice_from_string(words.range), slice_from_string(words.hash),
                            slice_from_string(words.anchor), &read));
  cr_expect_eq(read.first, 4);
  cr_expect_eq(read.last, 17);
  cr_expect(audit_hash_equal(&read.anchor, &head.anchor));
  cr_expect(audit_hash_equal(&read.hash, &head.hash));
  struct audit_head nothing = audit_head_of_nothing();
  words = audit_head_write(&nothing, &arena);
  cr_expect(audit_head_read(slice_from_string(words.range), slice_from_string(words.hash),
                            slice_from_string(words.anchor), &read));
  arena_free(&arena);
}

Test(audit_link, other_texts_are_no_heads)
{
  char hash[AUDIT_HASH_TEXT_SIZE];
  struct audit_head head = audit_head_of_nothing();
  audit_hash_text(&head.hash, hash);
  static const char *const ranges[] = {"", "1", "-", "1-", "0-1", "5-3", "1-2-3", "1- 2", "a-b", "-1-2"};
  for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
    cr_expect_not(
        audit_head_read(slice_from_string(ranges[i]), slice_from_string(hash), slice_from_string(hash), &head), "%s",
        ranges[i]);
  cr_expect_not(audit_head_read(SLICE("1-2"), slice_from_string(hash + 1), slice_from_string(hash), &head));
  cr_expect_not(audit_head_read(SLICE("1-2"), slice_from_string(hash), SLICE("x"), &head));
}
