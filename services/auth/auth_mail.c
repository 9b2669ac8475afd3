#include "services/auth/auth_mail.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/clock.h"
#include "common/base/codec.h"
#include "common/base/strbuf.h"
#include "common/mail/mailer.h"
#include "common/mail/message.h"
#include "common/observe/log.h"
#include "common/security/key.h"
#include "common/service/service.h"
#include "services/auth/auth_jobs.h"
#include "services/auth/auth_peers.h"
#include "services/auth/auth_state.h"
#include "services/auth/settings.h"

#define SEAL_CONTEXT "bulkhead auth mail 1"
#define MAX_VALUES 16

extern const struct mail_template_set auth_mail_templates;

struct auth_mail {
  struct arena arena;  // of the templates
  struct mailer *mailer;
  struct mail_template *templates;
};

// ---- life ----

bool auth_mail_is_page(const char *url)
{
  size_t scheme = strncmp(url, "https://", 8) == 0 ? 8 : strncmp(url, "http://", 7) == 0 ? 7 : 0;
  if (scheme == 0 || strchr("/?:@", url[scheme]) != NULL)
    return false;
  for (const char *at = url; *at != '\0'; at++)
    if (*at <= ' ' || *at > '~' || strchr("#\"<>\\^`{|}", *at) != NULL)
      return false;
  return true;
}

static enum status create(struct auth_mail *mail, const struct auth_settings *settings, struct loop *loop,
                          struct error *error)
{
  const struct mailer_options options = {.url = settings->mail_url,
                                         .user = settings->mail_user,
                                         .password = settings->mail_password,
                                         .ca_file = settings->mail_ca_file,
                                         .without_tls = settings->mail_without_tls};
  if (settings->mail_from == NULL || !mail_is_address(slice_from_string(settings->mail_from)))
    return error_set(error, STATUS_INVALID_ARGUMENT, "MAIL_FROM must be an address where MAIL_URL is set");
  if (settings->account_url == NULL || !auth_mail_is_page(settings->account_url))
    return error_set(
        error, STATUS_INVALID_ARGUMENT,
        "ACCOUNT_URL must be the http:// or https:// URL of a page, without a # and what follows it, where "
        "MAIL_URL is set");
  enum status status =
      mail_templates_load(&auth_mail_templates, settings->mail_templates, &mail->arena, &mail->templates, error);
  return status != STATUS_OK ? status : mailer_create(loop, &options, &mail->mailer, error);
}

enum status auth_mail_start(const struct auth_settings *settings, struct loop *loop, struct auth_mail **out,
                            struct error *error)
{
  *out = NULL;
  if (settings->mail_url == NULL && settings->verify_email_first)
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "VERIFY_EMAIL_FIRST needs MAIL_URL: without mail nobody can confirm his address");
  if (settings->mail_url == NULL) {
    log_info("mail", "no mail is sent, because MAIL_URL is not set");
    return STATUS_OK;
  }
  struct auth_mail *mail = calloc(1, sizeof(*mail));
  CHECK(mail != NULL);
  arena_init(&mail->arena);
  enum status status = create(mail, settings, loop, error);
  if (status == STATUS_OK)
    *out = mail;
  else
    auth_mail_stop(&mail);
  return status;
}

void auth_mail_stop(struct auth_mail **pointer)
{
  struct auth_mail *mail = *pointer;
  if (mail == NULL)
    return;
  *pointer = NULL;
  mailer_free(&mail->mailer);
  arena_free(&mail->arena);
  free(mail);
}

static const struct mail_template *find_template(const struct auth_mail *mail, const char *name)
{
  for (size_t i = 0; i < auth_mail_templates.count; i++)
    if (strcmp(mail->templates[i].name, name) == 0)
      return &mail->templates[i];
  return NULL;
}

// ---- a mail in the queue: its template, its address, names and values, each with a zero behind it ----

// Values that no template can name, because of the '.': whose address is to be looked up, and until when the mail is
// sent, in milliseconds since 1970 by the database's clock. A release before, which knows neither, ignores them.
#define USER_VALUE ".user"
#define UNTIL_VALUE ".until"

static void add_text(struct strbuf *out, const char *text)
{
  strbuf_add(out, slice_make(text, strlen(text) + 1));
}

// Takes the next text off the front; NULL at the end.
static const char *next_text(struct slice *rest)
{
  size_t end = slice_find(*rest, '\0', 0);
  if (end == rest->size)
    return NULL;
  const char *text = rest->data;
  *rest = slice_skip(*rest, end + 1);
  return text;
}

static void add_value(struct strbuf *out, const char *name, const char *value)
{
  add_text(out, name);
  add_text(out, value);
}

static void write_mail(const struct auth_state *state, const struct auth_mail_request *request, struct strbuf *out,
                       struct arena *arena)
{
  add_text(out, request->template);
  add_text(out, request->to == NULL ? "" : request->to);
  if (request->to == NULL)
    add_value(out, USER_VALUE, request->user_id);
  if (request->ttl_ms != 0)
    add_value(out, UNTIL_VALUE, arena_printf(arena, "%" PRId64, auth_keys_now_ms(&state->keys) + request->ttl_ms));
  for (size_t i = 0; i < request->count; i++)
    add_value(out, request->values[i].name, request->values[i].value);
}

enum status auth_mail_add(const struct auth_state *state, struct query_db db, const struct auth_mail_request *request,
                          struct arena *arena)
{
  if (state->mail == NULL)
    return STATUS_OK;
  CHECK(request->template != NULL && request->count <= MAX_VALUES - 2);
  CHECK(find_template(state->mail, request->template) != NULL);
  struct strbuf plain;
  strbuf_init(&plain, 0);
  write_mail(state, request, &plain, arena);
  struct slice sealed;
  enum status status =
      key_seal(slice_from_string(state->stored_secret), SEAL_CONTEXT, strbuf_slice(&plain), arena, &sealed);
  key_erase(plain.data, plain.size);
  strbuf_free(&plain);
  if (status == STATUS_OK)
    status = jobs_add(
        db, &(struct job_request){.kind = request->to == NULL ? AUTH_NOTICE_JOB : AUTH_MAIL_JOB, .payload = sealed},
        arena);
  return status;
}

const char *auth_mail_link(const struct auth_state *state, const char *purpose, const char *token, struct arena *arena)
{
  return arena_printf(arena, "%s#%s=%s", state->settings->account_url, purpose, token);
}

const char *auth_mail_minutes(int64_t ms, struct arena *arena)
{
  return arena_printf(arena, "%" PRId64, ms < 60000 ? 1 : ms / 60000);
}

// ---- sending ----

struct queued_mail {
  const char *template;
  const char *to;
  struct mail_value values[MAX_VALUES];
  size_t count;
};

static enum status open_mail(struct job *job, struct queued_mail *queued)
{
  const struct auth_state *state = service_state(job_service(job));
  struct slice plain;
  enum status status =
      key_open(slice_from_string(state->stored_secret), SEAL_CONTEXT, job_payload(job), job_arena(job), &plain);
  if (status != STATUS_OK)
    return job_fail(job, status, "the stored secret does not open this mail");
  queued->template = next_text(&plain);
  queued->to = next_text(&plain);
  while (queued->count < MAX_VALUES && (queued->values[queued->count].name = next_text(&plain)) != NULL &&
         (queued->values[queued->count].value = next_text(&plain)) != NULL)
    queued->count++;
  return queued->to == NULL ? job_fail(job, STATUS_DATA_LOSS, "the mail is incomplete") : STATUS_OK;
}

static const char *value_of(const struct queued_mail *queued, const char *name)
{
  for (size_t i = 0; i < queued->count; i++)
    if (strcmp(queued->values[i].name, name) == 0)
      return queued->values[i].value;
  return NULL;
}

// Tells whether the mail's link is void by now.
static bool is_too_late(const struct auth_state *state, const struct queued_mail *queued)
{
  const char *until = value_of(queued, UNTIL_VALUE);
  return until != NULL && auth_keys_now_ms(&state->keys) >= strtoll(until, NULL, 10);
}

// Looks up where a mail goes that names an account only. NOT_FOUND where the account was deleted.
static enum status find_address(struct job *job, struct queued_mail *queued)
{
  const char *user_id = value_of(queued, USER_VALUE);
  struct account_facts account;
  CHECK(queued->to != NULL);
  if (queued->to[0] != '\0' || user_id == NULL)
    return STATUS_OK;
  enum status status = auth_peers_read_account(job_service(job), NULL, user_id, job_arena(job), &account);
  queued->to = account.email;
  if (status == STATUS_OK || status == STATUS_NOT_FOUND)
    return status;
  return job_fail(job, STATUS_UNAVAILABLE, "the user service could not be asked (%s)", status_name(status));
}

// Returns the message's id: the job's number, and a part of the hash of its sealed content, which another database with
// the same numbers does not have.
static const char *make_id(struct job *job)
{
  unsigned char hash[32];
  char text[17];
  key_sha256(job_payload(job), hash);
  *hex_encode(hash, 8, text) = '\0';
  return arena_printf(job_arena(job), "%" PRId64 ".%s", job_id(job), text);
}

static enum status compose(struct job *job, const struct auth_state *state, const struct queued_mail *queued,
                           struct strbuf *message)
{
  const struct mail_template *template = queued->template == NULL ? NULL : find_template(state->mail, queued->template);
  if (template == NULL)
    return job_fail(job, STATUS_UNIMPLEMENTED, "this release does not know the mail's template");
  struct mail_texts texts;
  struct error error;
  enum status status = mail_template_fill(template, queued->values, queued->count, job_arena(job), &texts, &error);
  if (status != STATUS_OK)
    return job_fail(job, status, "%s", error.message);
  const struct mail mail = {.from = state->settings->mail_from,
                            .from_name = state->settings->mail_from_name,
                            .to = queued->to,
                            .subject = texts.subject,
                            .text = texts.text,
                            .html = texts.html,
                            .id = make_id(job),
                            .date_s = clock_wall_us() / 1000000};
  status = mail_compose(&mail, message, &error);
  return status == STATUS_OK ? status : job_fail(job, status, "%s", error.message);
}

// Composes and sends a mail.
static enum status deliver(struct job *job, struct auth_state *state, const struct queued_mail *queued)
{
  struct strbuf message;
  strbuf_init(&message, 0);
  enum status status = compose(job, state, queued, &message);
  if (status == STATUS_OK) {
    struct error error;
    status = mailer_send(state->mail->mailer, state->settings->mail_from, queued->to, strbuf_slice(&message), &error);
    if (status != STATUS_OK)
      status = job_fail(job, status, "%s", error.message);
  }
  if (message.size > 0)
    key_erase(message.data, message.size);
  strbuf_free(&message);
  return status;
}

enum status auth_mail_send(struct job *job)
{
  struct auth_state *state = service_state(job_service(job));
  if (state->mail == NULL)
    return job_fail(job, STATUS_UNAVAILABLE, "no mail is sent, because MAIL_URL is not set");
  struct queued_mail queued = {0};
  enum status status = open_mail(job, &queued);
  if (status != STATUS_OK)
    return status;
  if (is_too_late(state, &queued)) {
    log_warn("mail", "a mail was not sent, because it could not be while its link was good; whoever waits asks again",
             LOG_INT("job", job_id(job)), LOG_INT("failures", job_failures(job)));
    return STATUS_OK;
  }
  status = find_address(job, &queued);
  if (status == STATUS_NOT_FOUND)
    return STATUS_OK;
  return status == STATUS_OK ? deliver(job, state, &queued) : status;
}
