// Sign-up is a saga over two services: a crash anywhere leaves nothing that blocks a retry and nothing for ever.
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/support/http.h"
#include "tests/support/stack.h"

// Signs up again as a client does: this succeeds, or the first attempt did after all and the password works.
static void assert_retry_works(const char *email)
{
  struct http_reply retry = account_sign_up(email, "correct horse battery");
  cr_assert(retry.status == 201 || retry.status == 409, "%d: %s", retry.status, retry.body);
  struct http_reply login = account_login(email, "correct horse battery");
  ASSERT_STATUS(login, 200);
}

static bool no_orphans(const void *arg)
{
  (void)arg;
  return strcmp(sql("SELECT count(*) FROM \"user\".jobs WHERE kind = 'remove_credential'"), "0") == 0;
}

Test(fault_02_sign_up, without_the_auth_service_answers_503_and_can_be_repeated)
{
  const char *email = fresh_email();
  stack("stop", "auth-1");
  struct http_reply reply = account_sign_up(email, "correct horse battery");
  ASSERT_PROBLEM(reply, 503, "UNAVAILABLE");
  cr_assert_not_null(http_header(&reply, "Retry-After"));
  cr_assert_str_eq(sql("SELECT count(*) FROM \"user\".users WHERE email = '%s'", email), "0");
  stack("start", "auth-1");
  wait_until_healthy();
  assert_retry_works(email);
}

struct attempts {
  const char *emails[64];
  atomic_size_t started;
  atomic_bool stop;
};

enum { RETRY_PAUSE_US = 20000 };

// Returns the status of the answer.
static int sign_up(const char *email)
{
  return HTTP(.path = "/v1/users", .timeout_ms = 15000,
              .body = text("{\"email\":\"%s\",\"password\":\"correct horse battery\",\"displayName\":\"Ada\"}", email))
      .status;
}

// Signs up one address after the other, each again while a service is away, which is told at once.
static void sign_up_many(void *arg)
{
  struct attempts *attempts = arg;
  while (!atomic_load(&attempts->stop) && atomic_load(&attempts->started) < ARRAY_LEN(attempts->emails)) {
    const char *email = fresh_email();
    attempts->emails[atomic_load(&attempts->started)] = email;
    atomic_fetch_add(&attempts->started, 1);
    while (sign_up(email) == 503 && !atomic_load(&attempts->stop))
      usleep(RETRY_PAUSE_US);
  }
}

struct threshold {
  struct attempts *attempts;
  size_t count;
};

static bool has_started(const void *arg)
{
  const struct threshold *threshold = arg;
  return atomic_load(&threshold->attempts->started) >= threshold->count;
}

// Kills `victim` four times while sign-ups run; then every address that was tried can be signed up or is.
static void kill_during_sign_ups(const char *victim)
{
  struct attempts *attempts = calloc(1, sizeof(*attempts));
  cr_assert_not_null(attempts);
  struct background *background = background_start(sign_up_many, attempts);
  for (size_t round = 0; round < 4; round++) {
    wait_until(has_started, &(struct threshold){attempts, atomic_load(&attempts->started) + 2}, "sign-ups");
    stack("kill", victim);
    stack("start", victim);
    wait_until_healthy();
  }
  atomic_store(&attempts->stop, true);
  background_join(background);
  size_t count = atomic_load(&attempts->started);
  for (size_t i = 0; i < count; i++)
    assert_retry_works(attempts->emails[i]);

  // Every account has its credential, and what has none is removed once it is due.
  cr_assert_str_eq(sql("SELECT count(*) FROM \"user\".users u WHERE NOT EXISTS"
                       " (SELECT FROM auth.credentials c WHERE c.user_id = u.id)"),
                   "0");
  (void)sql("UPDATE \"user\".jobs SET due_time = now()");
  wait_until(no_orphans, NULL, "the removal of credentials without accounts");
  cr_assert_str_eq(sql("SELECT count(*) FROM auth.credentials c WHERE NOT EXISTS"
                       " (SELECT FROM \"user\".users u WHERE u.id = c.user_id)"),
                   "0");
  free(attempts);
}

Test(fault_02_sign_up, survives_the_kill_of_the_user_service)
{
  kill_during_sign_ups("user-1");
}

Test(fault_02_sign_up, survives_the_kill_of_the_auth_service)
{
  kill_during_sign_ups("auth-1");
}
