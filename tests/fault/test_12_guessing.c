// Guesses at passwords, many at a time: those who know theirs get in meanwhile, and guessing gets nowhere.
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/compiler.h"
#include "tests/support/bystander.h"
#include "tests/support/common/totp_code.h"
#include "tests/support/gateway.h"
#include "tests/support/http.h"
#include "tests/support/stack.h"

#define PASSWORD "correct horse battery"
#define ATTACKERS 220
#define OWNERS 20
#define PAUSE_US 200000
#define GUESSES 1500
#define GUESSERS 16

// What one thread sends, and what became of it.
struct login {
  struct background *thread;
  const char *base_url;
  const char *from;
  const char *email;
  const char *password;
  const char *device_token;
  struct http_reply reply;
  atomic_bool *stop;   // repeats the login until then; NULL: once
  atomic_int *counts;  // of each status
};

static void count_status(struct login *login)
{
  if (login->counts != NULL)
    atomic_fetch_add(&login->counts[login->reply.status], 1);
}

// Tells whether too many hashes wait. A login that the account refuses has a reason of its own.
static bool is_told_to_wait(const struct http_reply *reply)
{
  return reply->status == 429 && strcmp(http_json(reply, "reason"), "TOO_MANY_REQUESTS") == 0;
}

// Who knows his password tries again where hashes take long and he is told so, which on a slow machine is no fault.
static void log_in_once(struct login *login, const char *body)
{
  double seconds = 0;
  do {
    if (seconds > 0)
      usleep(PAUSE_US);
    login->reply = HTTP(.path = "/v1/auth/login", .base_url = login->base_url, .from = login->from, .body = body,
                        .timeout_ms = 30000);
    seconds += login->reply.seconds;
  } while (login->stop == NULL && is_told_to_wait(&login->reply));
  login->reply.seconds = seconds;
  count_status(login);
}

static void log_in(void *arg)
{
  struct login *login = arg;
  if (login->stop != NULL)
    background_let_others_first();
  const char *body = text("{\"email\":\"%s\",\"password\":\"%s\",\"deviceToken\":\"%s\"}", login->email,
                          login->password, login->device_token == NULL ? "" : login->device_token);
  do {
    log_in_once(login, body);
    // An attacker who asks as fast as it can would be measured instead of the services: both share this machine.
    if (login->stop != NULL)
      usleep(PAUSE_US);
  } while (login->stop != NULL && !atomic_load(login->stop));
}

static void start_logins(struct login *logins, size_t count)
{
  for (size_t i = 0; i < count; i++)
    logins[i].thread = background_start(log_in, &logins[i]);
}

static void join_logins(struct login *logins, size_t count)
{
  for (size_t i = 0; i < count; i++)
    background_join(logins[i].thread);
}

static int compare_seconds(const void *a, const void *b)
{
  double first = ((const struct login *)a)->reply.seconds, second = ((const struct login *)b)->reply.seconds;
  return (first > second) - (first < second);
}

static void expect_all_succeed(struct login *owners, const char *attack)
{
  for (size_t i = 0; i < OWNERS; i++)
    cr_expect_eq(owners[i].reply.status, 200, "%s: a right login got %d: %s", attack, owners[i].reply.status,
                 owners[i].reply.body);
  qsort(owners, OWNERS, sizeof(*owners), compare_seconds);
  double longest = owners[OWNERS - 1].reply.seconds;
  fprintf(stderr, "%s: %d right logins took %.0f ms in the middle and %.0f ms at most\n", attack, OWNERS,
          owners[OWNERS / 2].reply.seconds * 1000, longest * 1000);
}

static struct account accounts[OWNERS];

// Each owner has an account and an address.
static void make_owners(struct login *owners, const char *base_url)
{
  for (size_t i = 0; i < OWNERS; i++) {
    if (accounts[i].email == NULL)
      accounts[i] = account_create();
    owners[i] = (struct login){
        .base_url = base_url, .from = text("127.0.1.%zu", i + 1), .email = accounts[i].email, .password = PASSWORD};
  }
}

// Attacks with logins to accounts that do not exist, all from one address, again and again.
static void attack_with_bogus_logins(const char *base_url, const char *attack)
{
  static struct login attackers[ATTACKERS];
  static struct login owners[OWNERS];
  atomic_bool stop = false;
  static atomic_int counts[1000];
  const char *from = fresh_address();
  make_owners(owners, base_url);
  start_logins(owners, OWNERS);
  join_logins(owners, OWNERS);
  expect_all_succeed(owners, "in calm");
  for (size_t i = 0; i < ATTACKERS; i++)
    attackers[i] = (struct login){.base_url = base_url,
                                  .from = from,
                                  .email = fresh_email(),
                                  .password = "a wrong password",
                                  .stop = &stop,
                                  .counts = counts};
  make_owners(owners, base_url);
  start_logins(attackers, ATTACKERS);
  while (atomic_load(&counts[401]) + atomic_load(&counts[429]) < ATTACKERS)
    sched_yield();
  start_logins(owners, OWNERS);
  join_logins(owners, OWNERS);
  atomic_store(&stop, true);
  join_logins(attackers, ATTACKERS);
  fprintf(stderr, "%s: of the attacker's logins %d were tried and %d refused\n", attack, atomic_load(&counts[401]),
          atomic_load(&counts[429]));
  cr_expect_gt(atomic_load(&counts[429]), 0);
  expect_all_succeed(owners, attack);
}

// Without a limit for addresses: all that stands between the attacker and the others is the queue of hashes.
Test(guessing, parallel_bogus_logins_leave_the_hashing_to_others)
{
  const struct account reader = account_create();
  struct bystander *bystander = bystander_start(&reader);
  bystander_attacked(bystander);
  attack_with_bogus_logins(NULL, "220 bogus logins at a time, no limit");
  bystander_await(bystander, 100);
  bystander_assert_unharmed(&bystander, "220 bogus logins at a time, no limit");
}

Test(guessing, parallel_bogus_logins_are_refused_by_address)
{
  setenv("RATE_CREDENTIAL", "30/m", 1);
  struct gateway_place gateway = gateway_start("gateway-41");
  attack_with_bogus_logins(gateway.plain_url, "220 bogus logins at a time, 30 a minute");
  gateway_stop(&gateway);
}

struct guesser {
  struct background *thread;
  const char *email;
  atomic_int *left;
  atomic_int *counts;
};

static void guess(void *arg)
{
  struct guesser *guesser = arg;
  while (atomic_fetch_sub(guesser->left, 1) > 0) {
    struct http_reply reply =
        HTTP(.path = "/v1/auth/login", .from = "127.0.0.32", .timeout_ms = 30000,
             .body = text("{\"email\":\"%s\",\"password\":\"guess %s\"}", guesser->email, fresh_word()));
    atomic_fetch_add(&guesser->counts[reply.status], 1);
  }
}

static struct http_reply log_in_from(const char *from, const char *email, const char *password, const char *device)
{
  struct login login = {.from = from, .email = email, .password = password, .device_token = device};
  log_in(&login);
  return login.reply;
}

// The owner of the account comes from a device that it knows, at the attacker's own address, and from a new source.
static void expect_owner_gets_in(const struct account *owner, const char *device)
{
  struct http_reply reply = log_in_from("127.0.0.32", owner->email, PASSWORD, device);
  ASSERT_STATUS(reply, 200);
  for (int i = 0; i < 4; i++) {
    reply = log_in_from("127.0.2.1", owner->email, "a mistyped password", NULL);
    ASSERT_STATUS(reply, 401);
  }
  reply = log_in_from("127.0.2.1", owner->email, PASSWORD, NULL);
  ASSERT_STATUS(reply, 200);
}

Test(guessing, many_guesses_at_one_account_get_nowhere_and_do_not_lock_its_owner_out)
{
  struct account owner = account_create();
  struct http_reply known = log_in_from("127.0.2.2", owner.email, PASSWORD, NULL);
  const char *device = http_json(&known, "deviceToken");
  struct guesser guessers[GUESSERS];
  static atomic_int counts[1000];
  atomic_int left = GUESSES;
  for (size_t i = 0; i < GUESSERS; i++) {
    guessers[i] = (struct guesser){.email = owner.email, .left = &left, .counts = counts};
    guessers[i].thread = background_start(guess, &guessers[i]);
  }
  while (atomic_load(&counts[429]) == 0)
    sched_yield();
  expect_owner_gets_in(&owner, device);
  for (size_t i = 0; i < GUESSERS; i++)
    background_join(guessers[i].thread);
  fprintf(stderr, "of %d guesses at one account %d were tried and %d refused\n", GUESSES, atomic_load(&counts[401]),
          atomic_load(&counts[429]));
  // Five of the source, twenty that all sources share, and one more a minute.
  cr_expect_leq(atomic_load(&counts[401]), 30);
  cr_expect_eq(atomic_load(&counts[401]) + atomic_load(&counts[429]), GUESSES);
  struct http_reply reply = log_in_from("127.0.0.32", owner.email, PASSWORD, device);
  ASSERT_STATUS(reply, 200);
}

// ---- codes of the second step ----

struct code_guesser {
  struct background *thread;
  const char *challenge;
  const char *secret;
  atomic_int *left;
  atomic_int *counts;
  size_t without_retry_after;  // of what was refused
};

static const char *code_of(const char *secret, int steps)
{
  char code[7];
  totp_code(secret, steps, code);
  return text("%s", code);
}

static struct http_reply verify(const char *challenge, const char *code)
{
  return HTTP(.path = "/v1/auth/login/verify", .timeout_ms = 30000,
              .body = text("{\"challenge\":\"%s\",\"code\":\"%s\"}", challenge, code));
}

static void guess_codes(void *arg)
{
  struct code_guesser *guesser = arg;
  for (int left = atomic_fetch_sub(guesser->left, 1); left > 0; left = atomic_fetch_sub(guesser->left, 1)) {
    // Codes of other half minutes are as wrong as made-up ones.
    struct http_reply reply = verify(guesser->challenge, code_of(guesser->secret, 100 + left));
    atomic_fetch_add(&guesser->counts[reply.status], 1);
    guesser->without_retry_after += reply.status == 429 && http_header(&reply, "Retry-After") == NULL;
  }
}

struct app {
  const char *secret;
  const char *recovery_codes[3];
};

static struct app add_app(const struct account *owner)
{
  struct http_reply added = HTTP(.path = "/v1/auth/factors/totp", .token = owner->token, .body = "{}");
  ASSERT_STATUS(added, 200);
  struct app app = {.secret = http_json(&added, "secret")};
  struct http_reply confirmed = HTTP(.path = "/v1/auth/factors/totp/confirm", .token = owner->token,
                                     .body = text("{\"code\":\"%s\"}", code_of(app.secret, 0)));
  ASSERT_STATUS(confirmed, 200);
  for (size_t i = 0; i < ARRAY_LEN(app.recovery_codes); i++)
    app.recovery_codes[i] = http_json(&confirmed, text("recoveryCodes[%zu]", i));
  return app;
}

static const char *challenge_of(const struct account *owner, const char *device)
{
  struct http_reply reply = log_in_from(NULL, owner->email, PASSWORD, device);
  ASSERT_STATUS(reply, 200);
  const char *challenge = http_json(&reply, "challenge");
  cr_assert_not_null(challenge, "%s", reply.body);
  return challenge;
}

// Somebody who knows the password guesses codes of one challenge, many at a time; meanwhile and after it the owner
// signs in from devices that the account knows: one that has passed the second step, and one from before there was one.
Test(guessing, a_thousand_wrong_codes_at_once_get_five_tries_and_do_not_lock_the_owner_out)
{
  enum { CODES = 1000, TRIES = 5 };
  struct account owner = account_create();
  struct http_reply before = log_in_from(NULL, owner.email, PASSWORD, NULL);
  const struct app app = add_app(&owner);
  struct http_reply passed = verify(challenge_of(&owner, NULL), app.recovery_codes[0]);
  ASSERT_STATUS(passed, 200);
  const char *device = http_json(&passed, "deviceToken"), *old_device = http_json(&before, "deviceToken");
  struct code_guesser guessers[GUESSERS];
  static atomic_int counts[1000];
  atomic_int left = CODES;
  const char *challenge = challenge_of(&owner, NULL);
  for (size_t i = 0; i < GUESSERS; i++) {
    guessers[i] = (struct code_guesser){.challenge = challenge, .secret = app.secret, .left = &left, .counts = counts};
    guessers[i].thread = background_start(guess_codes, &guessers[i]);
  }
  while (atomic_load(&counts[429]) == 0)
    sched_yield();
  struct http_reply during = verify(challenge_of(&owner, device), app.recovery_codes[1]);
  for (size_t i = 0; i < GUESSERS; i++) {
    background_join(guessers[i].thread);
    cr_expect_eq(guessers[i].without_retry_after, 0);
  }
  fprintf(stderr, "of %d wrong codes for one challenge %d were tried and %d refused; the owner got %d in %.0f ms\n",
          CODES, atomic_load(&counts[401]), atomic_load(&counts[429]), during.status, during.seconds * 1000);
  cr_expect_eq(during.status, 200, "%d: %s", during.status, during.body);
  cr_expect_eq(atomic_load(&counts[401]), TRIES);
  cr_expect_eq(atomic_load(&counts[429]), CODES - TRIES);
  ASSERT_STATUS(verify(challenge_of(&owner, old_device), app.recovery_codes[2]), 200);
}

// ---- what the limits rest on ----

// Reads until the limit refuses, and returns how many passed. None waits for what is away.
static int read_until_refused(const struct gateway_place *gateway, const char *token)
{
  for (int passed = 0; passed < 500; passed++) {
    struct http_reply reply = HTTP(.path = "/v1/users/me", .token = token, .base_url = gateway->plain_url);
    if (reply.status == 429)
      return passed;
    ASSERT_STATUS(reply, 200);
  }
  cr_assert_fail("nothing was refused");
  return 0;
}

// Each of the two workers limits by itself meanwhile.
static void expect_local_limits(const struct gateway_place *gateway, const char *what)
{
  struct account reader = account_create();
  stack_signal(what, SIGSTOP);
  int passed = read_until_refused(gateway, reader.token);
  struct http_reply login = HTTP(.path = "/v1/auth/login", .from = "127.0.0.33", .timeout_ms = 20000,
                                 .body = text("{\"email\":\"%s\",\"password\":\"%s\"}", reader.email, PASSWORD));
  stack_signal(what, SIGCONT);
  fprintf(stderr, "%s is frozen: %d reads passed a limit of 20 at once, a login gets %d\n", what, passed, login.status);
  cr_expect_geq(passed, 20);
  cr_expect_leq(passed, 60);
  // A connection whose other end stays silent is given up, mostly before the deadline of the call.
  if (strcmp(what, "redis") == 0)
    cr_expect_eq(login.status, 200);
  else
    cr_expect(login.status == 503 || login.status == 504, "%d", login.status);
}

Test(guessing, limits_hold_while_redis_or_the_auth_service_is_frozen)
{
  setenv("RATE_READ", "1/m burst 20", 1);
  struct gateway_place gateway = gateway_start("gateway-42");
  expect_local_limits(&gateway, "redis");
  expect_local_limits(&gateway, "auth-1");
  gateway_stop(&gateway);
  wait_until_healthy();
}
