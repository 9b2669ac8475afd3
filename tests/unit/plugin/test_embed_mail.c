// embed_mail.sh: what it embeds is what the files hold, and what it refuses.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/plugin/command.h"

#define SCRIPT "sh proto/plugin/embed_mail.sh shop"

Test(embed_mail, embeds_both_texts_of_each_mail)
{
  char folder[64], code_folder[64];
  command_make_folder(folder);
  command_make_folder(code_folder);
  command_write_text(folder, "order.txt", "Subject: Your \"order\"\n\n{{number}} \303\251\n");
  command_write_text(folder, "order.html", "<p style=\"x\">{{number}}</p>");
  command_write_text(folder, "alarm_2.txt", "Subject: Alarm\n\nnow\n");
  command_write_text(folder, "alarm_2.html", "<b>now</b>\n");
  command_write_text(
      code_folder, "show.c",
      "#include <stdio.h>\n#include \"common/mail/template.h\"\n"
      "extern const struct mail_template_set shop_mail_templates;\n"
      "int main(void) { for (size_t i = 0; i < shop_mail_templates.count; i++) {\n"
      "const struct mail_template *t = &shop_mail_templates.templates[i]; printf(\"%s:\", t->name);\n"
      "fwrite(t->text.data, 1, t->text.size, stdout); fwrite(t->html.data, 1, t->html.size, stdout); } }\n");
  struct strbuf output;
  strbuf_init(&output, 0);
  int code = command_run(&output,
                         "f=%s; c=%s; " SCRIPT " $f > $c/embedded.c && cc -std=gnu11 -Wall -Werror -I. $c/embedded.c "
                         "$c/show.c -o $c/show && $c/show",
                         folder, code_folder);
  cr_expect_eq(code, 0);
  cr_expect_str_eq(strbuf_cstring(&output),
                   "alarm_2:Subject: Alarm\n\nnow\n<b>now</b>\n"
                   "order:Subject: Your \"order\"\n\n{{number}} \303\251\n<p style=\"x\">{{number}}</p>");
  strbuf_free(&output);
  command_remove_folder(folder);
  command_remove_folder(code_folder);
}

// Every file that is named gets this text.
static void expect_refused(const char *text, const char *message, const char *const *files, size_t count)
{
  char folder[64];
  command_make_folder(folder);
  for (size_t i = 0; i < count; i++)
    command_write_text(folder, files[i], text);
  command_expect_refused(SCRIPT, folder, message);
}
#define EXPECT_REFUSED(text, message, ...)                                                                             \
  expect_refused(text, message, (const char *const[]){__VA_ARGS__},                                                    \
                 sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

Test(embed_mail, refuses_what_would_send_half_a_mail)
{
  static const char good[] = "Subject: a\n\nb\n";
  EXPECT_REFUSED(good, "/a.txt: a.html is missing beside it", "a.txt");
  EXPECT_REFUSED(good, "/a.html: a.txt is missing beside it", "a.html");
  EXPECT_REFUSED(good, "must end in .txt or .html", "a.md");
  EXPECT_REFUSED(good, "must be of a-z, 0-9 and _", "A.txt", "A.html");
  EXPECT_REFUSED("Hello\n", "/a.txt:1: begin with a line \"Subject: ...\"", "a.txt", "a.html");
  EXPECT_REFUSED("Subject: a\nb\n", "/a.txt:2: this line must be empty", "a.txt", "a.html");
}
