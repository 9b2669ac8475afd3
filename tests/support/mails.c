#include "tests/support/mails.h"

#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "tests/support/environment.h"
#include "tests/support/http.h"

#define WAIT_MS 60000

// The mails that maildev's REST API lists, the oldest first.
static struct http_reply list(void)
{
  struct http_reply reply = HTTP(.base_url = need_variable("BULKHEAD_MAIL_URL"), .path = "/email");
  ASSERT_STATUS(reply, 200);
  return reply;
}

struct wanted {
  const char *address;
  const char *subject;  // NULL: any
  int count;
};

static bool fits(const struct http_reply *reply, int place, const struct wanted *wanted)
{
  const char *to = http_json(reply, text("[%d].to[0].address", place));
  const char *subject = http_json(reply, text("[%d].subject", place));
  return to != NULL && strcmp(to, wanted->address) == 0 &&
         (wanted->subject == NULL || (subject != NULL && strcmp(subject, wanted->subject) == 0));
}

// Returns the place in the list of the count-th mail that is wanted; -1 where there are not so many, and *found is how
// many there are.
static int find(const struct http_reply *reply, const struct wanted *wanted, int *found)
{
  int all = http_json_count(reply, "");
  *found = 0;
  for (int i = 0; i < all; i++)
    if (fits(reply, i, wanted) && ++*found == wanted->count)
      return i;
  return -1;
}

int mails_to(const char *address, const char *subject)
{
  struct http_reply reply = list();
  int found;
  (void)find(&reply, &(struct wanted){address, subject, -1}, &found);
  return found;
}

static struct mail read_mail(const struct http_reply *reply, int place)
{
  return (struct mail){.subject = http_json(reply, text("[%d].subject", place)),
                       .text = http_json(reply, text("[%d].text", place)),
                       .html = http_json(reply, text("[%d].html", place))};
}

bool mail_find(const char *address, const char *subject, struct mail *mail)
{
  int found;
  struct http_reply reply =
      HTTP(.base_url = need_variable("BULKHEAD_MAIL_URL"), .path = "/email", .timeout_ms = WAIT_MS);
  int place = reply.status == 200 ? find(&reply, &(struct wanted){address, subject, 1}, &found) : -1;
  if (place >= 0)
    *mail = read_mail(&reply, place);
  return place >= 0;
}

struct mail mail_about(const char *address, const char *subject, int count)
{
  uint64_t end_us = deadline_after_ms(clock_now_us(), WAIT_MS);
  for (;;) {
    int found;
    struct http_reply reply = list();
    int place = find(&reply, &(struct wanted){address, subject, count}, &found);
    if (place >= 0)
      return read_mail(&reply, place);
    cr_assert_lt(clock_now_us(), end_us, "mail %d to %s has not come", count, address);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
  }
}

struct mail mail_to(const char *address, int count)
{
  return mail_about(address, NULL, count);
}

const char *mail_token(const struct mail *mail, const char *purpose)
{
  const char *mark = text("#%s=", purpose);
  const char *start = strstr(mail->text, mark);
  cr_assert_not_null(start, "the mail has no link for %s: %s", purpose, mail->text);
  start += strlen(mark);
  return text("%.*s", (int)strcspn(start, "\r\n \\"), start);
}
