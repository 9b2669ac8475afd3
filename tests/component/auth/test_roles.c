// The commands that give and take roles, and where a role is seen: in the access token of the next login or refresh.
#include <criterion/criterion.h>
#include <string.h>

#include "common/base/codec.h"
#include "tests/support/service/accounts.h"

#define ADA "ada@example.com"

static struct accounts accounts;

static void setup(void)
{
  accounts_open(&accounts, NULL);
}

static void teardown(void)
{
  accounts_close(&accounts);
}

TestSuite(auth_roles, .init = setup, .fini = teardown);

static void expect_command(char *command, char *role, const char *who, int code, const char *says)
{
  struct process process;
  cr_expect_eq(accounts_command(&accounts, &process, command, role, (char *)(uintptr_t)who), code, "%s",
               strbuf_cstring(&process.output));
  EXPECT_OUTPUT(process, says);
  process_free(&process);
}

// Decodes the claims of an access token (RFC 7519), the part between the dots, and looks for the role admin.
static bool is_admin(const Auth__V1__TokenResponse *tokens)
{
  const char *claims = strchr(tokens->access_token, '.') + 1;
  struct strbuf json;
  strbuf_init(&json, 0);
  cr_assert(base64_decode(slice_make(claims, strcspn(claims, ".")), &json));
  cr_expect_not_null(strstr(strbuf_cstring(&json), "\"user\""), "%s", strbuf_cstring(&json));
  bool found = strstr(strbuf_cstring(&json), "\"admin\"") != NULL;
  strbuf_free(&json);
  return found;
}

Test(auth_roles, by_id_a_role_is_given_and_taken)
{
  const char *id = accounts_new_user(&accounts, ADA)->id;
  const Auth__V1__TokenResponse *before = accounts_tokens(&accounts, ADA);
  cr_expect_not(is_admin(before));
  expect_command("grant-role", "admin", id, 0, "now has the role admin");
  expect_command("grant-role", "admin", id, 0, "now has the role admin");
  struct outcome refreshed = accounts_refresh(&accounts, before->refresh_token);
  cr_expect(is_admin(accounts_tokens_of(&refreshed)));
  cr_expect(is_admin(accounts_tokens(&accounts, ADA)));
  expect_command("revoke-role", "admin", id, 0, "no longer has the role admin");
  expect_command("revoke-role", "admin", id, 0, "no longer has the role admin");
  cr_expect_not(is_admin(accounts_tokens(&accounts, ADA)));
  // Taking a role begins a new generation of the account's tokens, and the session goes on.
  cr_expect_str_eq(
      database_sql(&accounts.database, "SELECT max(generation) FROM auth.endings WHERE user_id = '%s'", id), "3");
  cr_expect_eq(accounts_refresh(&accounts, accounts_tokens_of(&refreshed)->refresh_token).status, STATUS_OK);
}

Test(auth_roles, by_address_the_user_service_is_asked)
{
  accounts_new_user(&accounts, ADA);
  expect_command("grant-role", "admin", "ADA@example.com", 0, "now has the role admin");
  cr_expect(is_admin(accounts_tokens(&accounts, ADA)));
  expect_command("grant-role", "admin", "nobody@example.com", 1, "no user has the address nobody@example.com");
  expect_command("grant-role", "admin", "no address", 1, "no user has the address no address");
  expect_command("revoke-role", "admin", ADA, 0, "no longer has the role admin");
  cr_expect_not(is_admin(accounts_tokens(&accounts, ADA)));
}

// One role more, and the account could not log in any more.
Test(auth_roles, an_account_has_as_many_roles_as_its_token_carries)
{
  const char *id = accounts_new_user(&accounts, ADA)->id;
  (void)database_sql(&accounts.database, "INSERT INTO auth.role_definitions (name, permissions) SELECT 'r' || i, '{}'"
                                         " FROM generate_series(1, 8) AS i");
  (void)database_sql(&accounts.database,
                     "INSERT INTO auth.roles (user_id, role) SELECT '%s', 'r' || i FROM generate_series(1, 7) AS i",
                     id);
  expect_command("grant-role", "r8", id, 0, "now has the role r8");
  expect_command("grant-role", "admin", id, 1, "8 roles at most");
  expect_command("revoke-role", "r1", id, 0, "no longer has the role r1");
  expect_command("grant-role", "admin", id, 0, "now has the role admin");
  cr_expect(is_admin(accounts_tokens(&accounts, ADA)));
}

Test(auth_roles, what_is_wrong_is_said)
{
  static const char nobody[] = "00000000-0000-7000-8000-000000000404";
  expect_command("grant-role", "admin", nobody, 1, "there is no user 00000000-0000-7000-8000-000000000404");
  expect_command("grant-role", "emperor", nobody, 1, "the role is emperor; known is: admin");
  expect_command("grant-role", "admin", NULL, 2, "usage: auth grant-role <role> <e-mail or user id>");
}
