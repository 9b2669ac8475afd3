// Which pages the links in mails may lead to.
#include <criterion/criterion.h>

#include "common/base/slice.h"
#include "services/auth/auth_mail.h"

TestSuite(auth_mail);

Test(auth_mail, links_lead_to_pages)
{
  static const char *const good[] = {"https://example.com", "http://localhost:8080/account",
                                     "https://example.com/account?from=mail", "http://[::1]:8080/account"};
  for (size_t i = 0; i < ARRAY_LEN(good); i++)
    cr_expect(auth_mail_is_page(good[i]), "%s", good[i]);
}

Test(auth_mail, links_lead_to_nothing_else)
{
  static const char *const wrong[] = {"",
                                      "http",
                                      "httpx://example.com",
                                      "http://",
                                      "https:///account",
                                      "https://:443/account",
                                      "https://@example.com",
                                      "HTTPS//example.com",
                                      "javascript:alert(1)",
                                      "https://example.com/#/account",
                                      "https://example.com/a b",
                                      "https://example.com/\n",
                                      "https://ex\xc3\xa4mple.com/",
                                      "https://example.com/\"><b>"};
  for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
    cr_expect_not(auth_mail_is_page(wrong[i]), "%s", wrong[i]);
}
