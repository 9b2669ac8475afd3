// Mails of the auth service. A mail is added to the queue (common/service/jobs.h) in the transaction of what causes it,
// sealed, because it may hold a link that proves who opens it; the queue's workers send it, and try again for three
// days where the mail server cannot take it. A mail may leave again where a process dies between the server's answer
// and the end of the job, or where the server takes longer than two minutes; all have the same Message-ID.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_MAIL_H
#define BULKHEAD_SERVICES_AUTH_AUTH_MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/mail/template.h"
#include "common/service/query.h"

struct auth_settings;
struct auth_state;
struct job;
struct loop;

// What sends mails; NULL in auth_state where MAIL_URL is not set: then nothing is sent.
struct auth_mail;

// INVALID_ARGUMENT for settings or templates that cannot be used; `error` names them. *out is NULL without MAIL_URL.
enum status auth_mail_start(const struct auth_settings *settings, struct loop *loop, struct auth_mail **out,
                            struct error *error) MUST_CHECK;
// Nulls the pointer and accepts NULL in it. No job may run any more.
void auth_mail_stop(struct auth_mail **pointer);

struct auth_mail_request {
  const char *template;  // one of services/auth/mail (CHECK)
  const char *to;        // an address; NULL: the one that the account of `user_id` has when the mail is sent
  const char *user_id;   // used where `to` is NULL
  const struct mail_value *values;
  size_t count;
  int64_t ttl_ms;  // the mail is not sent any more after this time, because its link is void then; 0: at any time
};
// Adds a mail, where the state has what sends it; else does nothing and returns OK. It leaves after the commit.
enum status auth_mail_add(const struct auth_state *state, struct query_db db, const struct auth_mail_request *request,
                          struct arena *arena) MUST_CHECK;

// Tells whether a text is the URL of a page: a scheme, a host, and nothing that a mail or a browser would read in
// another way. A link adds its fragment, so there must be none.
bool auth_mail_is_page(const char *url);
// Returns a link to the account page that carries a token in its fragment, which browsers send to no server:
// "https://example.com/account#reset=TOKEN".
const char *auth_mail_link(const struct auth_state *state, const char *purpose, const char *token, struct arena *arena);

// Returns the present time for the text of a mail: "2026-01-31 13:51 UTC".
const char *auth_mail_time(const struct auth_state *state, struct arena *arena);
// Returns a time as a number of minutes.
const char *auth_mail_minutes(int64_t ms, struct arena *arena);

// What the owner of an account is told of, because somebody else may have done it.
enum auth_mail_event {
  AUTH_MAIL_PASSWORD_CHANGED,     // his password was changed or reset
  AUTH_MAIL_FACTOR_CHANGED,       // a second factor or passkey was added or removed; `detail` says which
  AUTH_MAIL_NEW_DEVICE,           // somebody logged in from a device that the account did not know; `detail` names it
  AUTH_MAIL_API_KEY_CREATED,      // an API key of his account was made; `detail` is its name
  AUTH_MAIL_SERVICE_KEY_CREATED,  // he has made an API key of a service account; `detail` is its name
  AUTH_MAIL_TOKEN_REUSED,         // a spent refresh token was used again, so its session has ended
  AUTH_MAIL_EVENTS
};
struct auth_mail_notice {
  const char *user_id;
  const char *to;        // his address; NULL: the one that the account has when the mail is sent
  struct slice address;  // of the client that did it; empty where it is unknown
  const char *detail;    // one line, such as "an authenticator app was added"; text, never markup
};
// Tells the owner of an account by mail, in the transaction or statement `db` of what happened. Does nothing, and
// returns OK, where no mail is sent.
enum status auth_mail_tell(const struct auth_state *state, struct query_db db, enum auth_mail_event event,
                           const struct auth_mail_notice *notice, struct arena *arena) MUST_CHECK;

// The run of the mails' jobs, and of those whose address is looked up when they are sent.
enum status auth_mail_send(struct job *job);

#endif
