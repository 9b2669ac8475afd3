// Templates of mails. A template has two files: NAME.txt, whose first line is "Subject: ..." and whose second line is
// empty, and NAME.html. "{{value}}" in them stands for a value that the sender of the mail gives. A value is text and
// never markup: in HTML what has a meaning there is escaped, and control characters become spaces everywhere.
#ifndef BULKHEAD_MAIL_TEMPLATE_H
#define BULKHEAD_MAIL_TEMPLATE_H

#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

// The largest file of a template.
#define MAIL_TEMPLATE_MAX_BYTES ((size_t)256 * 1024)

// A template as it comes with the program: services/<service>/mail/NAME.txt and NAME.html.
struct mail_template {
  const char *name;
  struct slice text;  // with the line of the subject
  struct slice html;
};

struct mail_template_set {
  const struct mail_template *templates;
  size_t count;
};

// Puts templates of an operator's folder in the place of the program's own, and returns all of them as loaded[] (as
// many as the set has), in `arena`. One takes the place where the folder has both files of it; its values are those
// that the program's own uses. `folder` NULL or "" has none. INVALID_ARGUMENT where a file lacks its other half, cannot
// be read, is larger than MAIL_TEMPLATE_MAX_BYTES, is no UTF-8, has no subject, or wants an unknown value; `error`
// names the file and the line.
enum status mail_templates_load(const struct mail_template_set *set, const char *folder, struct arena *arena,
                                struct mail_template **loaded, struct error *error) MUST_CHECK;

struct mail_value {
  const char *name;
  const char *value;
};
struct mail_texts {
  const char *subject;
  struct slice text;
  struct slice html;
};
// Fills a loaded template, in `arena`. FAILED_PRECONDITION where it uses a value that is not given, as a mail of an
// earlier release may lack one; `error` names it.
enum status mail_template_fill(const struct mail_template *template, const struct mail_value *values, size_t count,
                               struct arena *arena, struct mail_texts *texts, struct error *error) MUST_CHECK;

#endif
