// What the mail catcher of the running stack has caught (BULKHEAD_MAIL_URL, npm's maildev).
#ifndef BULKHEAD_TESTS_SUPPORT_MAILS_H
#define BULKHEAD_TESTS_SUPPORT_MAILS_H

#include <stdbool.h>

// A mail; its texts live as long as the test process.
struct mail {
  const char *subject;
  const char *text;
  const char *html;
};

// Waits until there are `count` mails to the address at least, and returns the count-th, the oldest being the first.
// Fails the test where it does not come within a minute.
struct mail mail_to(const char *address, int count);
// Waits for the count-th mail with this subject.
struct mail mail_about(const char *address, const char *subject, int count);
// Looks for the first mail with this subject, without waiting. False where none has come, or the catcher does not
// answer.
bool mail_find(const char *address, const char *subject, struct mail *mail);
// Counts the mails that have come to the address, with this subject where it is not NULL.
int mails_to(const char *address, const char *subject);
// Returns what follows "#purpose=" in the text, up to the end of the line: the token of a link. Fails the test where
// there is none.
const char *mail_token(const struct mail *mail, const char *purpose);

#endif
