// compile.sh: the one step of the build that turns contracts into C and bulkhead.protoset.
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/plugin/command.h"

static char folder[64];
static struct strbuf output;

// A tree with one contract, shop/v1/shop.proto.
static void open_tree(void)
{
  command_make_folder(folder);
  strbuf_init(&output, 0);
  cr_assert_eq(
      command_run(&output,
                  "mkdir -p %s/proto/plugin %s/proto/shop/v1 && cp -r proto/bulkhead proto/google %s/proto/ && "
                  "cp tests/unit/plugin/data/released.proto %s/proto/shop/v1/shop.proto && cp "
                  "proto/plugin/compile.sh %s/proto/plugin/",
                  folder, folder, folder, folder, folder),
      0, "%s", strbuf_cstring(&output));
}

static void close_tree(void)
{
  strbuf_free(&output);
  command_remove_folder(folder);
}

TestSuite(compile, .init = open_tree, .fini = close_tree);

// Compiles the tree as make does, after the shell command `change`.
static int compile_after(const char *change)
{
  return command_run(
      &output,
      "root=$PWD; cd %s; %s; case %s in /*) bin=%s ;; *) bin=$root/%s ;; esac; sh proto/plugin/compile.sh "
      "$bin/protoc-gen-bulkhead gen set shop/v1/shop.proto",
      folder, change, command_bin(), command_bin(), command_bin());
}

static bool holds(const char *test)
{
  return command_run(&output, "cd %s; %s", folder, test) == 0;
}

Test(compile, writes_the_set_and_the_c_of_both_generators)
{
  cr_assert_eq(compile_after("true"), 0, "%s", strbuf_cstring(&output));
  cr_expect(holds("[ -s set ] && cd gen/shop/v1 && [ -s shop.bh.h ] && [ -s shop.bh.c ] && [ -s shop.pb-c.h ] && "
                  "[ -s shop.pb-c.c ]"));
  cr_expect(holds("! ls gen | grep compile"), "no working folder is left");
}

Test(compile, leaves_c_alone_that_has_not_changed)
{
  cr_assert_eq(compile_after("true"), 0);
  cr_assert_eq(compile_after("touch -d 2000-01-01 gen/shop/v1/*; echo '// The end.' >> proto/shop/v1/shop.proto"), 0);
  cr_expect(holds("[ $(find gen/shop -type f -newermt 2001-01-01 | wc -l) = 0 ] && [ set -nt gen/shop/v1/shop.bh.h ]"));
}

Test(compile, a_refused_contract_changes_nothing_and_is_named_from_the_root)
{
  cr_assert_eq(compile_after("true"), 0);
  cr_assert_neq(compile_after("cp set before; sed -i 's|{id}|{name}|' proto/shop/v1/shop.proto"), 0);
  const char *said = strbuf_cstring(&output);
  static const char start[] =
      "proto/shop/v1/shop.proto:11:5: shop.v1.ShopService.GetThing: GET /v1/things/{name}: the path variable";
  cr_expect(strncmp(said, start, strlen(start)) == 0, "%s", said);
  cr_expect(holds("cmp set before"));
}

Test(compile, a_caller_that_is_no_service_is_refused)
{
  cr_assert_neq(compile_after("sed -i 's|callers: \"[*]\"|callers: \"sop\"|' proto/shop/v1/shop.proto"), 0);
  const char *said = strbuf_cstring(&output);
  static const char start[] =
      "proto/shop/v1/shop.proto:22:3: shop.v1.ShopService.CountThings: the caller \"sop\" is no "
      "service, because";
  cr_expect(strncmp(said, start, strlen(start)) == 0, "%s", said);
}

Test(compile, a_change_that_breaks_clients_of_the_released_contracts_is_refused)
{
  cr_assert_eq(compile_after("true"), 0);
  cr_assert_neq(compile_after("cp set proto/released.protoset; sed -i 's| note = 11| note = 12|' "
                              "proto/shop/v1/shop.proto"),
                0);
  cr_expect_not_null(strstr(strbuf_cstring(&output), "proto/shop/v1/shop.proto:46:3: shop.v1.Thing.note: the number"),
                     "%s", strbuf_cstring(&output));
}
