#include "tests/fault/account_flow.h"

#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "tests/support/environment.h"
#include "tests/support/mails.h"
#include "tests/support/stack.h"

#define OLD_PASSWORD "correct horse battery"
#define NEW_PASSWORD "seven purple elephants dance"
#define CONFIRM "Confirm your e-mail address"
#define CONFIRM_NEW "Confirm your new e-mail address"
#define ADDRESS_CHANGED "Your e-mail address was changed"
#define RESET "Set a new password"
#define PASSWORD_CHANGED "Your password was changed"

enum { PATIENCE_S = 180, PAUSE_MS = 20, ITEMS = 3 };

// ---- requests ----

static void pause_briefly(void)
{
  nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000}, NULL);
}

// Tells whether the answer says nothing about the request: nobody could judge it, or nobody knows what became of it.
static bool is_open(const struct http_reply *reply)
{
  return reply->status == 0 || reply->status == 429 || reply->status == 503 || reply->status == 504;
}

struct step {
  const char *method, *path, *body;  // as in struct http_request
  const char *token;
  int done;                // the status that acknowledges it
  const char *is_over[2];  // reasons by which a repeat may learn that it was done; else it gets the same answer
  size_t *counts;          // how often it was sent; NULL
};

static bool says_it_is_over(const struct step *step, const struct http_reply *reply)
{
  const char *found = reply->body[0] == '{' ? http_json(reply, "reason") : NULL;
  for (size_t i = 0; found != NULL && i < ARRAY_LEN(step->is_over); i++)
    if (step->is_over[i] != NULL && strcmp(found, step->is_over[i]) == 0)
      return true;
  return false;
}

// Returns whether the step was acknowledged. Where it was not, the client has given up, or there is a fault.
static bool take_step(struct account_client *client, const struct step *step)
{
  const char *key = text("Idempotency-Key: %s%s", fresh_word(), fresh_word());
  const uint64_t end_us = clock_now_us() + PATIENCE_S * UINT64_C(1000000);
  for (bool is_repeat = false;; is_repeat = true) {
    struct http_reply reply = HTTP(.method = step->method, .path = step->path, .body = step->body, .token = step->token,
                                   .headers = {key}, .timeout_ms = 30000);
    client->requests++;
    client->repeats += is_repeat;
    if (step->counts != NULL)
      ++*step->counts;
    if (reply.status == step->done || (is_repeat && says_it_is_over(step, &reply)))
      return true;
    if (!is_open(&reply) || clock_now_us() > end_us) {
      client->fault = text("%s of %s was answered with %d: %s", is_repeat ? "the repeat" : "the first request",
                           step->path, reply.status, reply.body);
      return false;
    }
    if (client->gives_up)
      return false;
    pause_briefly();
  }
}

// Waits for the mail and returns the token of its link; NULL where it does not come.
static const char *await_link(struct account_client *client, const char *address, const char *subject,
                              const char *purpose)
{
  const uint64_t end_us = clock_now_us() + PATIENCE_S * UINT64_C(1000000);
  struct mail mail;
  while (!mail_find(address, subject, &mail)) {
    if (clock_now_us() > end_us) {
      client->fault = text("the mail \"%s\" has not come within %d s", subject, PATIENCE_S);
      return NULL;
    }
    pause_briefly();
  }
  atomic_store(&client->has_mail, true);
  return mail_token(&mail, purpose);
}

// ---- judgement ----

// Sends a request that says how things are, again until it is answered.
static struct http_reply look(const struct http_request *request)
{
  struct http_reply reply = http_send(request);
  for (uint64_t end_us = clock_now_us() + PATIENCE_S * UINT64_C(1000000); is_open(&reply) && clock_now_us() < end_us;
       reply = http_send(request))
    pause_briefly();
  return reply;
}

static struct http_reply try_login(const char *email, const char *password)
{
  return look(&(struct http_request){.path = "/v1/auth/login",
                                     .body = text("{\"email\":\"%s\",\"password\":\"%s\"}", email, password)});
}

static bool is_count(const char *query, const char *expected)
{
  return strcmp(sql("SELECT count(*) FROM %s", query), expected) == 0;
}

// Returns what is wrong with an account that ought to be wholly there; NULL.
static const char *find_flaw(const char *email, const char *password)
{
  struct http_reply login = try_login(email, password);
  if (login.status != 200)
    return text("%s cannot log in: %d %s", email, login.status, login.body);
  struct http_reply me =
      look(&(struct http_request){.path = "/v1/users/me", .token = http_json(&login, "accessToken")});
  if (me.status != 200 || strcmp(http_json(&me, "email"), email) != 0)
    return text("%s has no profile: %d %s", email, me.status, me.body);
  if (!is_count(text("\"user\".users WHERE lower(email) = lower('%s')", email), "1"))
    return text("%s is not exactly one account", email);
  if (!is_count(text("auth.credentials WHERE user_id = '%s'", http_json(&me, "id")), "1"))
    return text("%s has not exactly one credential", email);
  return NULL;
}

// Returns whether somebody gets in who ought not to, as words; NULL.
static const char *find_way_in(const char *email, const char *password)
{
  struct http_reply login = try_login(email, password);
  return login.status == 401 ? NULL : text("%s gets in: %d %s", email, login.status, login.body);
}

static const char *first_of(const char *left, const char *right)
{
  return left != NULL ? left : right;
}

struct expected_mails {
  const char *address, *subject;
  size_t least, most;
};

// Returns what is wrong with how many different mails have come; NULL.
static const char *find_odd_mails(const struct mail_ledger *mails, const struct expected_mails *expected)
{
  size_t count = mail_ledger_count(mails, expected->address, expected->subject);
  if (count >= expected->least && count <= expected->most)
    return NULL;
  return text("%s got %zu mails \"%s\", not %zu to %zu", expected->address, count, expected->subject, expected->least,
              expected->most);
}

// Expects one mail about what has happened, and none about what has not.
static const char *find_odd_news(const struct account_client *client, const struct mail_ledger *mails,
                                 const char *subject)
{
  const size_t due = client->happened ? 1 : 0;
  return find_odd_mails(
      mails, &(struct expected_mails){.address = client->account.email, .subject = subject, .least = due, .most = due});
}

// Each request that was sent may have had a mail sent, and one that was acknowledged must.
static const char *find_odd_links(const struct account_client *client, const struct mail_ledger *mails,
                                  const char *address, const char *subject)
{
  return find_odd_mails(mails, &(struct expected_mails){.address = address,
                                                        .subject = subject,
                                                        .least = client->mail_is_due ? 1 : 0,
                                                        .most = client->mails_asked});
}

// The password is the new or the old one, and the new one where that was acknowledged.
static const char *judge_password(struct account_client *client)
{
  const struct account *account = &client->account;
  client->happened = try_login(account->email, client->new_password).status == 200;
  if (client->done && !client->happened)
    return "the new password was acknowledged and does not work";
  const char *valid = client->happened ? client->new_password : account->password;
  const char *void_one = client->happened ? account->password : client->new_password;
  return first_of(find_flaw(account->email, valid), find_way_in(account->email, void_one));
}

// ---- sign-up ----

static void prepare_sign_up(struct account_client *client)
{
  client->account = (struct account){.email = fresh_email(), .password = OLD_PASSWORD};
}

static void run_sign_up(struct account_client *client)
{
  const struct account *account = &client->account;
  const struct step sign_up = {
      .path = "/v1/users",
      .body = text("{\"email\":\"%s\",\"password\":\"%s\",\"displayName\":\"Ada\"}", account->email, account->password),
      .done = 201};
  client->done = take_step(client, &sign_up);
}

static const char *judge_sign_up(struct account_client *client)
{
  const struct account *account = &client->account;
  client->happened = is_count(text("\"user\".users WHERE lower(email) = lower('%s')", account->email), "1");
  if (client->done && !client->happened)
    return "the account was acknowledged and is not there";
  return client->happened ? find_flaw(account->email, account->password)
                          : find_way_in(account->email, account->password);
}

static const char *judge_sign_up_mails(const struct account_client *client, const struct mail_ledger *mails)
{
  return find_odd_news(client, mails, CONFIRM);
}

// ---- a password that is set by mail ----

static void prepare_account(struct account_client *client)
{
  client->account = account_create();
  client->new_password = NEW_PASSWORD;
  client->new_email = fresh_email();
}

// Whoever has confirmed his address gets the same answer to a repeat, whatever dies.
static void prepare_reset(struct account_client *client)
{
  prepare_account(client);
  struct mail mail = mail_about(client->account.email, CONFIRM, 1);
  const char *body = text("{\"token\":\"%s\"}", mail_token(&mail, "verify"));
  ASSERT_STATUS(HTTP(.path = "/v1/auth/email/verify", .body = body), 204);
}

static void run_reset(struct account_client *client)
{
  const char *email = client->account.email;
  const struct step forget = {.path = "/v1/auth/password/forgot",
                              .body = text("{\"email\":\"%s\"}", email),
                              .done = 202,
                              .counts = &client->mails_asked};
  client->mail_is_due = take_step(client, &forget);
  const char *token = client->mail_is_due ? await_link(client, email, RESET, "reset") : NULL;
  if (token == NULL)
    return;
  const struct step reset = {.path = "/v1/auth/password/reset",
                             .body = text("{\"token\":\"%s\",\"newPassword\":\"%s\"}", token, client->new_password),
                             .done = 204};
  client->done = take_step(client, &reset);
}

static const char *judge_reset_mails(const struct account_client *client, const struct mail_ledger *mails)
{
  return first_of(find_odd_links(client, mails, client->account.email, RESET),
                  find_odd_news(client, mails, PASSWORD_CHANGED));
}

// ---- another address ----

static void run_change_of_address(struct account_client *client)
{
  const struct step ask = {.path = "/v1/auth/email/change",
                           .token = client->account.token,
                           .body = text("{\"newEmail\":\"%s\"}", client->new_email),
                           .done = 202,
                           .counts = &client->mails_asked};
  client->mail_is_due = take_step(client, &ask);
  const char *token = client->mail_is_due ? await_link(client, client->new_email, CONFIRM_NEW, "verify") : NULL;
  if (token == NULL)
    return;
  const struct step verify = {.path = "/v1/auth/email/verify", .body = text("{\"token\":\"%s\"}", token), .done = 204};
  client->done = take_step(client, &verify);
}

static const char *judge_address(struct account_client *client)
{
  const struct account *account = &client->account;
  client->happened = is_count(text("\"user\".users WHERE email = '%s'", client->new_email), "1");
  if (client->done && !client->happened)
    return "the new address was acknowledged and is not that of the account";
  const char *address = client->happened ? client->new_email : account->email;
  const char *other = client->happened ? account->email : client->new_email;
  return first_of(find_flaw(address, account->password), find_way_in(other, account->password));
}

static const char *judge_address_mails(const struct account_client *client, const struct mail_ledger *mails)
{
  return first_of(find_odd_links(client, mails, client->new_email, CONFIRM_NEW),
                  find_odd_news(client, mails, ADDRESS_CHANGED));
}

// ---- another password ----

static void run_change_of_password(struct account_client *client)
{
  const struct account *account = &client->account;
  const struct step change = {
      .path = "/v1/auth/password/change",
      .token = account->token,
      .body = text("{\"currentPassword\":\"%s\",\"newPassword\":\"%s\"}", account->password, client->new_password),
      .done = 204};
  client->done = take_step(client, &change);
}

static const char *judge_password_mails(const struct account_client *client, const struct mail_ledger *mails)
{
  return find_odd_news(client, mails, PASSWORD_CHANGED);
}

// ---- the end of an account ----

// The account has data in all three services.
static void prepare_deletion(struct account_client *client)
{
  prepare_account(client);
  for (int i = 0; i < ITEMS; i++)
    (void)item_create(&client->account, text("{\"sku\":\"%s\",\"name\":\"Lamp\"}", fresh_word()));
  ASSERT_STATUS(HTTP(.path = "/v1/apiKeys", .token = client->account.token,
                     .body = "{\"name\":\"import\",\"scopes\":[\"items:read\"]}"),
                201);
}

static void run_deletion(struct account_client *client)
{
  const struct step remove = {.method = "DELETE",
                              .path = "/v1/users/me",
                              .token = client->account.token,
                              .done = 204,
                              // A gateway may know already that the account has ended.
                              .is_over = {"USER_NOT_FOUND", "TOKEN_REVOKED"}};
  client->done = take_step(client, &remove);
}

// Lists the tables of all services that have a row with this text. Left out is what stays, as the READMEs say: the
// audit log, what has ended, for as long as an access token lives, the changes of items, for an hour, and the job of
// the second run a day later.
static const char *find_traces(const char *of)
{
  return sql("SELECT string_agg(name || ': ' || rows, ', ') FROM (SELECT table_schema || '.' || table_name AS name,"
             " (xpath('/row/n/text()', query_to_xml(format('SELECT count(*) AS n FROM %%I.%%I AS t"
             " WHERE t::text LIKE %%L AND t::text NOT LIKE ''%%%%:late%%%%''', table_schema, table_name, '%%%s%%'),"
             " false, true, '')))[1]::text AS rows FROM information_schema.tables"
             " WHERE table_schema IN ('auth', 'user', 'item') AND table_type = 'BASE TABLE'"
             " AND table_name NOT IN ('audit_events', 'endings', 'item_changes')) AS found"
             " WHERE rows <> '0'",
             of);
}

static const char *judge_deletion(struct account_client *client)
{
  const struct account *account = &client->account;
  client->happened = !is_count(text("\"user\".users WHERE id = '%s'", account->id), "1");
  if (client->done && !client->happened)
    return "the deletion was acknowledged and the account is there";
  if (!client->happened && !is_count(text("item.items WHERE owner_id = '%s'", account->id), text("%d", ITEMS)))
    return "an account that was not deleted has lost items";
  if (!client->happened)
    return find_flaw(account->email, account->password);
  const char *traces = text("%s%s", find_traces(account->id), find_traces(account->email));
  if (traces[0] != '\0')
    return text("of a deleted account there is left %s", traces);
  return find_way_in(account->email, account->password);
}

static const char *expect_no_mails(const struct account_client *client, const struct mail_ledger *mails)
{
  (void)client;
  (void)mails;
  return NULL;
}

const struct account_flow account_flows[ACCOUNT_FLOWS] = {
    {"sign-up", 1, prepare_sign_up, run_sign_up, judge_sign_up, judge_sign_up_mails},
    {"reset by mail", 2, prepare_reset, run_reset, judge_password, judge_reset_mails},
    {"change of address", 2, prepare_account, run_change_of_address, judge_address, judge_address_mails},
    {"change of password", 1, prepare_account, run_change_of_password, judge_password, judge_password_mails},
    {"deletion", 0, prepare_deletion, run_deletion, judge_deletion, expect_no_mails},
};
