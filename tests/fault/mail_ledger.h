// Counts the mails that the stack's catcher gets: each by its Message-ID, which a mail that is sent again keeps. What
// is counted is removed from the catcher, so that reading it stays cheap.
#ifndef BULKHEAD_TESTS_FAULT_MAIL_LEDGER_H
#define BULKHEAD_TESTS_FAULT_MAIL_LEDGER_H

#include <stddef.h>

struct mail_ledger;

// The totals of a ledger: how many mails came, and how many of them came twice or more often.
struct mail_totals {
  size_t mails, twice, more;
};

struct mail_ledger *mail_ledger_new(void);
void mail_ledger_free(struct mail_ledger **ledger);
// Counts what has come since. Nobody else may wait for a mail meanwhile.
void mail_ledger_take(struct mail_ledger *ledger);
// Returns how many different mails with this subject have come to the address.
size_t mail_ledger_count(const struct mail_ledger *ledger, const char *address, const char *subject);
struct mail_totals mail_ledger_totals(const struct mail_ledger *ledger);

#endif
