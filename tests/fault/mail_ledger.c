#include "tests/fault/mail_ledger.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/environment.h"
#include "tests/support/http.h"

struct mail {
  const char *id;  // its Message-ID
  const char *address;
  const char *subject;
  size_t times;
};

struct mail_ledger {
  struct mail *mails;
  size_t count;
};

struct mail_ledger *mail_ledger_new(void)
{
  struct mail_ledger *ledger = calloc(1, sizeof(*ledger));
  cr_assert_not_null(ledger);
  return ledger;
}

void mail_ledger_free(struct mail_ledger **ledger)
{
  free((*ledger)->mails);
  free(*ledger);
  *ledger = NULL;
}

static struct mail *find_mail(struct mail_ledger *ledger, const char *id)
{
  for (size_t i = 0; i < ledger->count; i++)
    if (strcmp(ledger->mails[i].id, id) == 0)
      return &ledger->mails[i];
  ledger->mails = realloc(ledger->mails, (ledger->count + 1) * sizeof(*ledger->mails));
  cr_assert_not_null(ledger->mails);
  ledger->mails[ledger->count] = (struct mail){.id = id};
  return &ledger->mails[ledger->count++];
}

void mail_ledger_take(struct mail_ledger *ledger)
{
  const char *catcher = need_variable("BULKHEAD_MAIL_URL");
  struct http_reply list = HTTP(.base_url = catcher, .path = "/email");
  ASSERT_STATUS(list, 200);
  int count = http_json_count(&list, "");
  for (int i = 0; i < count; i++) {
    struct mail *mail = find_mail(ledger, http_json(&list, text("[%d].messageId", i)));
    mail->address = http_json(&list, text("[%d].to[0].address", i));
    mail->subject = http_json(&list, text("[%d].subject", i));
    mail->times++;
    const char *path = text("/email/%s", http_json(&list, text("[%d].id", i)));
    ASSERT_STATUS(HTTP(.method = "DELETE", .base_url = catcher, .path = path), 200);
  }
}

size_t mail_ledger_count(const struct mail_ledger *ledger, const char *address, const char *subject)
{
  size_t found = 0;
  for (size_t i = 0; i < ledger->count; i++)
    found += strcmp(ledger->mails[i].address, address) == 0 && strcmp(ledger->mails[i].subject, subject) == 0;
  return found;
}

struct mail_totals mail_ledger_totals(const struct mail_ledger *ledger)
{
  struct mail_totals totals = {.mails = ledger->count};
  for (size_t i = 0; i < ledger->count; i++) {
    totals.twice += ledger->mails[i].times == 2;
    totals.more += ledger->mails[i].times > 2;
  }
  return totals;
}
