// Mails as text that a mail server takes: RFC 5322 with the MIME of RFC 2045 to 2047.
//
// A mail goes to one recipient and has its text twice, plain and as HTML, of which the reader's program shows one. All
// texts are UTF-8; lines end in "\n" here and in CR LF in the message. Whatever a header is made of must hold no
// control character, so that no value can begin a header of its own.
#ifndef BULKHEAD_MAIL_MESSAGE_H
#define BULKHEAD_MAIL_MESSAGE_H

#include <stdint.h>

#include "common/base/slice.h"
#include "common/base/status.h"
#include "common/base/strbuf.h"

// The longest address (RFC 5321, section 4.5.3.1.3), and the longest subject or name, in bytes.
#define MAIL_MAX_ADDRESS 254
#define MAIL_MAX_HEADER_TEXT 500

struct mail {
  const char *from;       // an address: "accounts@example.com"
  const char *from_name;  // shown beside it; NULL or "" for none
  const char *to;         // an address
  const char *subject;
  struct slice text;
  struct slice html;
  // Names the message for all time, without "<" and "@": the same when the same mail is sent again, so that programs
  // which get it twice can show it once. Letters, digits, '.', '-' and '_'.
  const char *id;
  int64_t date_s;  // Unix seconds
};

// Adds the message to `out`. INVALID_ARGUMENT for a mail that breaks the rules above, for texts that are not UTF-8, and
// for addresses that are longer than MAIL_MAX_ADDRESS or not printable ASCII with one '@' in between; `error` says
// what.
enum status mail_compose(const struct mail *mail, struct strbuf *out, struct error *error) MUST_CHECK;

// Returns whether mail can be sent to the address, as mail_compose judges it.
bool mail_is_address(struct slice text);

#endif
