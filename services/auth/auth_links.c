#include "services/auth/auth_links.h"

#include <inttypes.h>

#include "auth/queries.bh.h"
#include "common/base/check.h"
#include "common/observe/log.h"
#include "services/auth/account_tokens.h"
#include "services/auth/auth_mail.h"
#include "services/auth/auth_state.h"

// Returns a time as text: "30 minutes", "24 hours", "7 days".
static const char *format_period(int64_t ms, struct arena *arena)
{
  int64_t minutes = ms < 60000 ? 1 : ms / 60000;
  if (minutes <= 90)
    return arena_printf(arena, "%" PRId64 " minute%s", minutes, minutes == 1 ? "" : "s");
  if (minutes <= INT64_C(48) * 60)
    return arena_printf(arena, "%" PRId64 " hours", minutes / 60);
  return arena_printf(arena, "%" PRId64 " days", minutes / 1440);
}

static enum status add_mail(const struct auth_state *state, struct query_db db, const struct auth_link *link,
                            const char *token, struct arena *arena)
{
  const struct mail_value values[] = {
      {"link", auth_mail_link(state, link->fragment, token, arena)},
      {"minutes", auth_mail_minutes(link->ttl_ms, arena)},
      {"period", format_period(link->ttl_ms, arena)},
      {"time", auth_mail_time(state, arena)},
      {"email", link->email},
      {"other", link->other_email == NULL ? "" : link->other_email},
  };
  const struct auth_mail_request mail = {.template = link->template,
                                         .to = link->email,
                                         .values = values,
                                         .count = ARRAY_LEN(values),
                                         .ttl_ms = link->ttl_ms};
  return auth_mail_add(state, db, &mail, arena);
}

enum status auth_link_send(const struct auth_state *state, struct query_db db, const struct auth_link *link,
                           struct arena *arena, bool *sent)
{
  struct account_token token = account_token_new(arena);
  const struct auth_db_add_account_token_params params = {
      .token_hash = token.hash,
      .purpose = link->purpose,
      .user_id = link->user_id,
      .email = link->email,
      .other_email = link->other_email == NULL ? "" : link->other_email,
      .email_version = link->email_version,
      .ttl_ms = link->ttl_ms,
      .most = link->most_an_hour,
      .password_set_us = link->password_set_us,
      .email_change_generation = link->email_change_generation,
  };
  int64_t added = 0;
  enum status status = auth_db_add_account_token(db, &params, arena, &added);
  *sent = status == STATUS_OK && added > 0;
  if (status == STATUS_OK && added == 0)
    log_info("mail", "no mail sent: hourly limit reached, or the request behind it is no longer valid",
             LOG_STRING("userId", link->user_id), LOG_STRING("kind", link->purpose));
  return *sent ? add_mail(state, db, link, token.text, arena) : status;
}
