// Links in mails: a token that is stored, and the mail that carries it.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_LINKS_H
#define BULKHEAD_SERVICES_AUTH_AUTH_LINKS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/status.h"
#include "common/service/query.h"

struct auth_state;

struct auth_link {
  const char *purpose;   // of the token (account_tokens.h)
  const char *fragment;  // what stands before it in the link: "reset"
  const char *template;  // of the mail; its values: link, minutes, period, time, email, other
  const char *user_id;
  const char *email;        // where the mail goes
  const char *other_email;  // another address that the token is about; NULL for none
  int64_t email_version;    // which address of the account the token is about; 0 for none
  int64_t ttl_ms;
  int64_t most_an_hour;            // how many tokens of the purpose an account gets
  const int64_t *password_set_us;  // the password that the account must have; NULL for any
  // How often its changes of the address must have been voided; NULL for any.
  const int64_t *email_change_generation;
};
// Stores a token and adds its mail, in the transaction `db`, unless the account has got too many, or has not what is
// named; then *sent is false.
enum status auth_link_send(const struct auth_state *state, struct query_db db, const struct auth_link *link,
                           struct arena *arena, bool *sent) MUST_CHECK;

#endif
