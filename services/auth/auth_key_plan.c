#include "services/auth/auth_key_plan.h"

#include <string.h>

#define LONGEST_VIEW_MS 60000

int key_plan_compare(const struct key_times *a, const char *a_kid, const struct key_times *b, const char *b_kid)
{
  if (a->sign_ms != b->sign_ms)
    return a->sign_ms < b->sign_ms ? -1 : 1;
  return strcmp(a_kid, b_kid);
}

int64_t key_plan_removal_ms(const struct key_times *keys, size_t count, size_t key)
{
  if (key + 1 >= count || keys[key + 1].sign_ms == KEY_UNDATED)
    return INT64_MAX;
  return keys[key + 1].sign_ms + keys[key].longest_ttl_ms + KEY_MARGIN_MS;
}

// Tells whether a key is to be published, because the latest one will have signed for long enough by the time that the
// new one signs.
static bool is_rotation_due(const struct key_rules *rules, const struct key_times *keys, size_t count, int64_t now_ms)
{
  int64_t latest_ms = keys[count - 1].sign_ms;
  return count < KEY_PLAN_MAX_KEYS && latest_ms != KEY_UNDATED &&
         now_ms >= latest_ms + rules->rotation_ms - rules->publish_ms;
}

struct key_step key_plan_step(const struct key_rules *rules, const struct key_times *keys, size_t count, int64_t now_ms)
{
  if (count == 0)
    return (struct key_step){.kind = KEY_STEP_FIRST};
  for (size_t i = 0; i < count; i++) {
    // A key that is alone has replaced all others, so there is nothing to wait for but the other instances.
    int64_t lead_ms = count == 1 ? KEY_LEAD_MS : rules->publish_ms;
    if (keys[i].sign_ms == KEY_UNDATED)
      return (struct key_step){.kind = KEY_STEP_DATE, .key = i, .sign_ms = now_ms + lead_ms};
    if (key_plan_removal_ms(keys, count, i) <= now_ms)
      return (struct key_step){.kind = KEY_STEP_REMOVE, .key = i};
  }
  return (struct key_step){.kind = is_rotation_due(rules, keys, count, now_ms) ? KEY_STEP_PUBLISH : KEY_STEP_NONE};
}

size_t key_plan_signer(const struct key_times *keys, size_t count, int64_t now_ms)
{
  size_t due = 0;
  while (due < count && keys[due].sign_ms <= now_ms)
    due++;
  if (due > 0)
    return due - 1;
  // A database's clock that was set back must not end all logins: the first key signs on.
  bool was_set_back = count > 0 && keys[0].sign_ms != KEY_UNDATED && keys[0].sign_ms - now_ms > KEY_LEAD_MS;
  return was_set_back ? 0 : count;
}

int64_t key_plan_view_ms(const struct key_rules *rules)
{
  return rules->publish_ms / 2 < LONGEST_VIEW_MS ? rules->publish_ms / 2 : LONGEST_VIEW_MS;
}

bool key_plan_rules_fit(const struct key_rules *rules)
{
  // Superseded keys, the one that signs, and the one that waits.
  int64_t superseded = (rules->ttl_ms + KEY_MARGIN_MS) / rules->rotation_ms + 1;
  return rules->rotation_ms >= 2 * rules->publish_ms && superseded + 2 <= KEY_PLAN_MAX_KEYS;
}
