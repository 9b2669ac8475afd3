// The user service beside auth services of a release before, as where it is rolled out first.
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/rpc/rpc_server.h"
#include "common/security/service_identity.h"
#include "tests/support/common/service_keys.h"
#include "tests/support/service/accounts.h"

static struct accounts accounts;
static const struct slice admin_role = SLICE_INIT("admin");
static char *ada_id;
static pthread_t older_auth;
static atomic_bool is_over;

// Such a release knows none of the methods that these tests lead to.
static void on_request(void *arg, struct rpc_request *request)
{
  static const struct rpc_status unknown = {.code = STATUS_UNIMPLEMENTED, .reason = SLICE_INIT("UNKNOWN_METHOD")};
  (void)arg;
  rpc_request_reply(request, &unknown, (struct slice){0});
}

static void on_cancel(void *arg, struct rpc_request *request)
{
  (void)arg;
  (void)request;
}

static void *serve(void *url)
{
  struct rpc_server *server = NULL;
  struct error error;
  struct service_identity *identity = service_keys_identity("auth");
  service_identity_set_address(identity, url);
  const struct rpc_server_options options = {
      .listen_url = url, .identity = identity, .on_request = on_request, .on_cancel = on_cancel};
  cr_assert_eq(rpc_server_create(&options, &server, &error), STATUS_OK, "%s", error.message);
  while (!atomic_load(&is_over)) {
    struct pollfd ready = {.fd = rpc_server_fd(server), .events = POLLIN};
    (void)poll(&ready, 1, 10);
    rpc_server_process(server, clock_now_us());
    rpc_server_flush(server);
  }
  rpc_server_free(&server);
  service_identity_free(&identity);
  return NULL;
}

static void setup(void)
{
  accounts_open(&accounts, NULL);
  const User__V1__User *ada = accounts_new_user(&accounts, "ada@example.com");
  struct arena *arena = &accounts.database.arena;
  ada_id = arena_string(arena, slice_from_string(ada->id));
  char *url = arena_printf(arena, "%s.older", accounts.auth.url);
  (void)service_keys_public("auth");
  cr_assert_eq(pthread_create(&older_auth, NULL, serve, url), 0);
  accounts_stop_user(&accounts);
  accounts_start_user(&accounts, (const char *const[]){arena_printf(arena, "RPC_STATIC=auth=%s", url), NULL});
  process_wait_output(&accounts.user, "connected to an endpoint");
}

static void teardown(void)
{
  accounts_close(&accounts);
  atomic_store(&is_over, true);
  cr_assert_eq(pthread_join(older_auth, NULL), 0);
}

TestSuite(user_older_auth, .init = setup, .fini = teardown);

static struct rpc_context admin(void)
{
  return (struct rpc_context){.caller_id = SLICE("00000000-0000-7000-8000-000000000001"),
                              .caller_roles = &admin_role,
                              .caller_role_count = 1,
                              .caller_auth_time = clock_wall_us() / 1000000};
}

Test(user_older_auth, lists_accounts_without_their_suspensions)
{
  const struct rpc_context context = admin();
  User__V1__ListUsersRequest request = USER__V1__LIST_USERS_REQUEST__INIT;
  struct outcome outcome = driver_call(&accounts.to_user, "user.v1.UserService/ListUsers", &request.base, &context);
  const User__V1__ListUsersResponse *page = (const User__V1__ListUsersResponse *)(const void *)driver_reply(
      &outcome, &user__v1__list_users_response__descriptor);
  cr_assert_eq(page->n_users, 1);
  cr_expect_str_eq(page->users[0]->id, ada_id);
  cr_expect_null(page->users[0]->suspend_time);
}

Test(user_older_auth, deletes_accounts)
{
  const struct rpc_context context = admin();
  User__V1__DeleteUserRequest request = USER__V1__DELETE_USER_REQUEST__INIT;
  request.id = ada_id;
  struct outcome outcome = driver_call(&accounts.to_user, "user.v1.UserService/DeleteUser", &request.base, &context);
  cr_expect_eq(outcome.status, STATUS_OK, "%s: " SLICE_FMT, status_name(outcome.status), SLICE_ARG(outcome.message));
  cr_expect_str_eq(database_sql(&accounts.database, "SELECT count(*) FROM \"user\".users"), "0");
}
