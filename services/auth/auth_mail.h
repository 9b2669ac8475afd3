// Mails of the auth service. A mail is added to the queue (common/service/jobs.h) in the transaction of what causes it,
// sealed, because it may hold a link that proves who opens it; the queue's workers send it, and try again for three
// days where the mail server cannot take it. A mail may leave again where a process dies between the server's answer
// and the end of the job, or where the server takes longer than two minutes; all have the same Message-ID.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_MAIL_H
#define BULKHEAD_SERVICES_AUTH_AUTH_MAIL_H

#include <stdbool.h>
#include <stddef.h>

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
  const char *to;        // an address
  const struct mail_value *values;
  size_t count;
};
// Adds a mail, where the state has what sends it; else does nothing and returns OK. It leaves after the commit.
enum status auth_mail_add(struct auth_state *state, struct query_db db, const struct auth_mail_request *request,
                          struct arena *arena) MUST_CHECK;

// Returns a link to the account page that carries a token in its fragment, which browsers send to no server:
// "https://example.com/account#reset=TOKEN".
const char *auth_mail_link(const struct auth_state *state, const char *purpose, const char *token, struct arena *arena);

// Tells the owner of an account that its password was changed from the client's address.
enum status auth_mail_tell_password_changed(struct auth_state *state, struct query_db db, const char *to,
                                            struct slice address, struct arena *arena) MUST_CHECK;

// The run of the mails' jobs.
enum status auth_mail_send(struct job *job);

#endif
