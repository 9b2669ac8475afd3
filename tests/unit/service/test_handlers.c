// A service whose handler struct lacks a method does not start, and says which.
#include <criterion/criterion.h>
#include <stddef.h>
#include <string.h>

#include "common/service/dispatch_internal.h"

struct shop_handlers {
  enum status (*open)(void);
  enum status (*close)(void);
};

static const struct rpc_method METHODS[] = {
    {.full_name = "shop.v1.ShopService/Open", .handler_offset = offsetof(struct shop_handlers, open)},
    {.full_name = "shop.v1.ShopService/Close", .handler_offset = offsetof(struct shop_handlers, close)},
};
static const struct rpc_service SERVICE = {.methods = METHODS, .method_count = 2};

static enum status handle(void)
{
  return STATUS_OK;
}

static enum status check(const struct shop_handlers *handlers, struct error *error)
{
  const struct rpc_binding binding = {.service = &SERVICE, .handlers = handlers};
  return dispatch_check_handlers(&binding, 1, error);
}

Test(handlers, a_full_table_is_accepted)
{
  struct error error;
  cr_expect_eq(check(&(struct shop_handlers){.open = handle, .close = handle}, &error), STATUS_OK);
}

Test(handlers, a_missing_handler_is_named)
{
  struct error error;
  cr_expect_eq(check(&(struct shop_handlers){.open = handle}, &error), STATUS_UNIMPLEMENTED);
  cr_expect_not_null(strstr(error.message, "no handler: shop.v1.ShopService/Close;"), "%s", error.message);
}

Test(handlers, all_missing_handlers_are_named_at_once)
{
  struct error error;
  cr_expect_eq(check(&(struct shop_handlers){0}, &error), STATUS_UNIMPLEMENTED);
  cr_expect_not_null(strstr(error.message, "shop.v1.ShopService/Open, shop.v1.ShopService/Close;"), "%s",
                     error.message);
  cr_expect_eq(check(NULL, &error), STATUS_UNIMPLEMENTED, "without a table every handler is missing");
}
