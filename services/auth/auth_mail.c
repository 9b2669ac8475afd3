#include "services/auth/auth_mail.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
  if (settings->account_url == NULL || strncmp(settings->account_url, "http", 4) != 0)
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "ACCOUNT_URL must be the http:// or https:// URL of a page where MAIL_URL is set");
  enum status status =
      mail_templates_load(&auth_mail_templates, settings->mail_templates, &mail->arena, &mail->templates, error);
  return status != STATUS_OK ? status : mailer_create(loop, &options, &mail->mailer, error);
}

enum status auth_mail_start(const struct auth_settings *settings, struct loop *loop, struct auth_mail **out,
                            struct error *error)
{
  *out = NULL;
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

enum status auth_mail_add(struct auth_state *state, struct query_db db, const struct auth_mail_request *request,
                          struct arena *arena)
{
  if (state->mail == NULL)
    return STATUS_OK;
  CHECK(request->template != NULL && request->count <= MAX_VALUES);
  CHECK(find_template(state->mail, request->template) != NULL);
  struct strbuf plain;
  strbuf_init(&plain, 0);
  add_text(&plain, request->template);
  add_text(&plain, request->to);
  for (size_t i = 0; i < request->count; i++) {
    add_text(&plain, request->values[i].name);
    add_text(&plain, request->values[i].value);
  }
  struct slice sealed;
  enum status status =
      key_seal(slice_from_string(state->stored_secret), SEAL_CONTEXT, strbuf_slice(&plain), arena, &sealed);
  key_erase(plain.data, plain.size);
  strbuf_free(&plain);
  if (status == STATUS_OK)
    status = jobs_add(db, &(struct job_request){.kind = AUTH_MAIL_JOB, .payload = sealed}, arena);
  return status;
}

const char *auth_mail_link(const struct auth_state *state, const char *purpose, const char *token, struct arena *arena)
{
  return arena_printf(arena, "%s#%s=%s", state->settings->account_url, purpose, token);
}

static const char *format_time(struct arena *arena)
{
  time_t now_s = (time_t)(clock_wall_us() / 1000000);
  struct tm date = {0};
  char text[32];
  (void)gmtime_r(&now_s, &date);
  size_t size = strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &date);
  return arena_string(arena, slice_make(text, size));
}

enum status auth_mail_tell_password_changed(struct auth_state *state, struct query_db db, const char *to,
                                            struct slice address, struct arena *arena)
{
  const struct mail_value values[] = {
      {"time", format_time(arena)},
      {"address", address.size == 0 ? "unknown" : arena_string(arena, address)},
      {"link", state->settings->account_url == NULL ? "" : state->settings->account_url},
  };
  const struct auth_mail_request mail = {
      .template = "password_changed", .to = to, .values = values, .count = ARRAY_LEN(values)};
  return auth_mail_add(state, db, &mail, arena);
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

enum status auth_mail_send(struct job *job)
{
  struct auth_state *state = service_state(job_service(job));
  if (state->mail == NULL)
    return job_fail(job, STATUS_UNAVAILABLE, "no mail is sent, because MAIL_URL is not set");
  struct queued_mail queued = {0};
  enum status status = open_mail(job, &queued);
  struct strbuf message;
  strbuf_init(&message, 0);
  if (status == STATUS_OK)
    status = compose(job, state, &queued, &message);
  if (status == STATUS_OK) {
    struct error error;
    status = mailer_send(state->mail->mailer, state->settings->mail_from, queued.to, strbuf_slice(&message), &error);
    if (status != STATUS_OK)
      status = job_fail(job, status, "%s", error.message);
  }
  if (message.size > 0)
    key_erase(message.data, message.size);
  strbuf_free(&message);
  return status;
}
