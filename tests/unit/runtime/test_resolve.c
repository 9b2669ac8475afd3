#include "common/runtime/resolve.h"

#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/runtime/in_task.h"

// A resolver that does not answer. The libraries call this function in place of libc's: a look-up of "held.test" says
// that it has begun and stays until it is let go.
static sem_t begun;
static sem_t go;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *req, struct addrinfo **pai)
{
  int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  void *address = dlsym(RTLD_NEXT, "getaddrinfo");
  memcpy(&real, &address, sizeof(real));
  if (name == NULL || strcmp(name, "held.test") != 0)
    return real(name, service, req, pai);
  sem_post(&begun);
  while (sem_wait(&go) != 0)
    ;
  return real("127.0.0.1", service, req, pai);
}

static void setup(void)
{
  sem_init(&begun, 0, 0);
  sem_init(&go, 0, 0);
  // A machine without a name server is to say so soon.
  setenv("RES_OPTIONS", "timeout:1 attempts:1", 1);
}

TestSuite(resolve, .init = setup, .timeout = 60);

static void await_begun(void)
{
  while (sem_wait(&begun) != 0)
    ;
}

struct answer {
  struct loop *loop;
  struct address_list found;
  char reason[512];
  bool failed;
};

static void take_answer(void *arg, const struct address_list *found, const char *reason)
{
  struct answer *answer = arg;
  answer->found = *found;
  answer->failed = reason != NULL;
  if (reason != NULL)
    snprintf(answer->reason, sizeof(answer->reason), "%s", reason);
  loop_stop(answer->loop);
}

static void unwanted(void *arg, const struct address_list *found, const char *reason)
{
  (void)arg;
  cr_assert_fail("a cancelled look-up tells of %zu addresses (%s)", found->count, reason == NULL ? "good" : reason);
}

static struct answer look_up(const char *host)
{
  struct answer answer = {.loop = loop_create()};
  cr_assert_not_null(loop_resolve_start(answer.loop, host, take_answer, &answer));
  loop_run(answer.loop);
  loop_free(&answer.loop);
  return answer;
}

Test(resolve, a_name_becomes_its_numeric_addresses)
{
  struct answer answer = look_up("localhost");
  cr_assert_not(answer.failed, "%s", answer.reason);
  cr_assert_gt(answer.found.count, 0);
  for (size_t i = 0; i < answer.found.count; i++) {
    const char *text = answer.found.texts[i];
    cr_assert(strncmp(text, "127.", 4) == 0 || strcmp(text, "::1") == 0, "%s", text);
    cr_assert_not(host_is_name(text));
  }
}

Test(resolve, a_name_that_nobody_has_fails_with_a_reason)
{
  struct answer answer = look_up("nobody.invalid");
  cr_assert(answer.failed);
  cr_assert_eq(answer.found.count, 0);
  cr_assert_not_null(strstr(answer.reason, "\"nobody.invalid\""), "%s", answer.reason);
}

Test(resolve, what_cannot_be_a_name_is_not_looked_up)
{
  char long_name[512];
  memset(long_name, 'a', sizeof(long_name) - 1);
  long_name[sizeof(long_name) - 1] = '\0';
  struct loop *loop = loop_create();
  cr_assert_null(loop_resolve_start(loop, long_name, unwanted, NULL));
  loop_free(&loop);
}

Test(resolve, paths_and_numbers_need_no_look_up)
{
  static const char *const names[] = {"localhost", "db", "db.example.", "10.0.0.1.example", "1.2.3.4.5"};
  static const char *const others[] = {"", "/run/postgresql", "@abstract", "127.0.0.1", "::1", "fe80::1%eth0"};
  for (size_t i = 0; i < ARRAY_LEN(names); i++)
    cr_expect(host_is_name(names[i]), "%s", names[i]);
  for (size_t i = 0; i < ARRAY_LEN(others); i++)
    cr_expect_not(host_is_name(others[i]), "%s", others[i]);
}

Test(resolve, a_cancelled_one_is_never_heard_of)
{
  struct loop *loop = loop_create();
  struct loop_resolve *resolve = loop_resolve_start(loop, "localhost", unwanted, NULL);
  loop_resolve_cancel(&resolve);
  cr_assert_null(resolve);
  loop_resolve_cancel(&resolve);
  // loop_free waits for the look-up that libuv has under way.
  loop_free(&loop);
  cr_assert_null(loop);
}

Test(resolve, one_that_is_cancelled_while_a_thread_has_it_is_never_heard_of)
{
  struct loop *loop = loop_create();
  struct loop_resolve *resolve = loop_resolve_start(loop, "held.test", unwanted, NULL);
  await_begun();
  loop_resolve_cancel(&resolve);
  sem_post(&go);
  loop_free(&loop);
  cr_assert_null(loop);
}

static void let_go(void *arg)
{
  (void)arg;
  sem_post(&go);
}

// The timer that lets the look-up go fires meanwhile.
Test(resolve, the_loop_goes_on_while_the_resolver_is_silent)
{
  struct answer answer = {.loop = loop_create()};
  struct loop_timer *timer = loop_timer_create(answer.loop, let_go, NULL);
  cr_assert_not_null(loop_resolve_start(answer.loop, "held.test", take_answer, &answer));
  await_begun();
  loop_timer_start(timer, 1);
  loop_run(answer.loop);
  cr_assert_eq(answer.found.count, 1);
  cr_assert_str_eq(answer.found.texts[0], "127.0.0.1");
  loop_timer_free(&timer);
  loop_free(&answer.loop);
}

static void nothing(void *arg)
{
  *(bool *)arg = true;
}

// More look-ups than the pool has threads.
TASK_TEST(resolve, a_silent_resolver_leaves_threads_to_work)
{
  enum { LOOK_UPS = 8 };
  struct loop_resolve *resolves[LOOK_UPS];
  for (size_t i = 0; i < LOOK_UPS; i++)
    resolves[i] = loop_resolve_start(task_loop(), "held.test", unwanted, NULL);
  await_begun();
  bool ran = false;
  cr_assert_eq(task_offload(nothing, &ran), STATUS_OK);
  cr_assert(ran);
  for (size_t i = 0; i < LOOK_UPS; i++) {
    loop_resolve_cancel(&resolves[i]);
    sem_post(&go);
  }
}

Test(resolve, one_that_is_left_behind_is_an_error, .signal = SIGABRT)
{
  struct loop *loop = loop_create();
  cr_assert_not_null(loop_resolve_start(loop, "localhost", unwanted, NULL));
  loop_free(&loop);
}
