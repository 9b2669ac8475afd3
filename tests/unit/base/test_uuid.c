#include "common/base/uuid.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/compiler.h"

Test(uuid, version_7_has_the_layout_of_rfc_9562)
{
  char text[UUID_TEXT_SIZE];
  uint64_t before_ms = (uint64_t)clock_wall_us() / 1000;
  uuid_v7(text);
  uint64_t after_ms = (uint64_t)clock_wall_us() / 1000;
  cr_assert_eq(strlen(text), 36);
  cr_assert(uuid_valid(slice_from_string(text)));
  cr_assert_eq(text[14], '7', "version");
  cr_assert_not_null(strchr("89ab", text[19]), "variant 10");
  for (const char *at = text; *at != '\0'; at++)
    cr_assert_not(*at >= 'A' && *at <= 'F', "lower case");
  char digits[13];
  memcpy(digits, text, 8);
  memcpy(digits + 8, text + 9, 4);
  digits[12] = '\0';
  uint64_t ms = strtoull(digits, NULL, 16);
  cr_assert_geq(ms, before_ms);
  cr_assert_leq(ms, after_ms);
}

Test(uuid, they_ascend_within_a_process)
{
  char before[UUID_TEXT_SIZE];
  char now[UUID_TEXT_SIZE];
  uuid_v7(before);
  for (int i = 0; i < 50000; i++) {
    uuid_v7(now);
    cr_assert_lt(strcmp(before, now), 0, "%s then %s", before, now);
    memcpy(before, now, sizeof(now));
  }
}

enum { THREAD_IDS = 5000 };

static void *make_ids(void *arg)
{
  char(*ids)[UUID_TEXT_SIZE] = arg;
  for (int i = 0; i < THREAD_IDS; i++)
    uuid_v7(ids[i]);
  return NULL;
}

static int compare_ids(const void *a, const void *b)
{
  return memcmp(a, b, UUID_TEXT_SIZE);
}

Test(uuid, threads_never_share_a_stamp)
{
  char(*ids)[UUID_TEXT_SIZE] = malloc(2 * THREAD_IDS * UUID_TEXT_SIZE);
  pthread_t other;
  cr_assert_eq(pthread_create(&other, NULL, make_ids, ids + THREAD_IDS), 0);
  make_ids(ids);
  pthread_join(other, NULL);
  qsort(ids, 2 * THREAD_IDS, UUID_TEXT_SIZE, compare_ids);
  // The part before the variant is the stamp.
  for (int i = 1; i < 2 * THREAD_IDS; i++)
    cr_assert_neq(memcmp(ids[i - 1], ids[i], 18), 0, "%s", ids[i]);
  free(ids);
}

Test(uuid, any_version_of_either_case_is_valid)
{
  cr_assert(uuid_valid(SLICE("00000000-0000-0000-0000-000000000000")));
  cr_assert(uuid_valid(SLICE("ffffffff-FFFF-ffff-FFFF-ffffffffffff")));
  cr_assert(uuid_valid(SLICE("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")));
}

Test(uuid, other_texts_are_not)
{
  static const char *const BAD[] = {
      "",
      "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
      "017f22e2-79b0-7cc3-98c4-dc0c0c07398ff",
      "{17f22e2-79b0-7cc3-98c4-dc0c0c07398}",
      "017f22e279b07cc398c4dc0c0c07398fffff",
      "017f22e2-79b07-cc3-98c4-dc0c0c07398f",
      "017f22e2-79b0-7cc3-98c4_dc0c0c07398f",
      "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
      "017f22e2-79b0-7cc3-98c4-dc0c0c07398 ",
      "-17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
      "017f22e2-79b0-7cc3-98c4-dc0c0c0739\xC3\xA4",
      "`17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
      "@17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
  };
  for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
    cr_assert_not(uuid_valid(slice_from_string(BAD[i])), "%s", BAD[i]);
  cr_assert_not(uuid_valid(SLICE("017f22e2-79b0-7cc3-98c4-dc0c0c0739\0\0")));
}
