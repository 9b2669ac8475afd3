// What owners of accounts are told of by mail (auth_mail_tell): a table of events and the template of each.
#include <time.h>

#include "common/base/check.h"
#include "common/mail/template.h"
#include "services/auth/auth_mail.h"
#include "services/auth/auth_state.h"
#include "services/auth/settings.h"

static const char *const templates[AUTH_MAIL_EVENTS] = {
    [AUTH_MAIL_PASSWORD_CHANGED] = "password_changed",
    [AUTH_MAIL_FACTOR_CHANGED] = "factor_changed",
    [AUTH_MAIL_NEW_DEVICE] = "new_device",
    [AUTH_MAIL_API_KEY_CREATED] = "api_key_created",
    [AUTH_MAIL_SERVICE_KEY_CREATED] = "service_key_created",
    [AUTH_MAIL_TOKEN_REUSED] = "token_reused",
};

const char *auth_mail_time(const struct auth_state *state, struct arena *arena)
{
  time_t now_s = (time_t)(auth_keys_now_ms(&state->keys) / 1000);
  struct tm date = {0};
  char text[32];
  (void)gmtime_r(&now_s, &date);
  size_t size = strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &date);
  return arena_string(arena, slice_make(text, size));
}

enum status auth_mail_tell(const struct auth_state *state, struct query_db db, enum auth_mail_event event,
                           const struct auth_mail_notice *notice, struct arena *arena)
{
  CHECK(event < AUTH_MAIL_EVENTS);
  const char *page = state->settings->account_url;
  const struct mail_value values[] = {
      {"time", auth_mail_time(state, arena)},
      {"address", notice->address.size == 0 ? "unknown" : arena_string(arena, notice->address)},
      {"link", page == NULL ? "" : page},
      {"detail", notice->detail == NULL || notice->detail[0] == '\0' ? "unknown" : notice->detail},
  };
  const struct auth_mail_request mail = {.template = templates[event],
                                         .to = notice->to,
                                         .user_id = notice->user_id,
                                         .values = values,
                                         .count = ARRAY_LEN(values)};
  return auth_mail_add(state, db, &mail, arena);
}
