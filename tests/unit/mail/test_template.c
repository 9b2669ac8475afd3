#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mail/template.h"

TestSuite(mail_template);

static const struct mail_template own[] = {
    {.name = "confirm",
     .text = SLICE_INIT("Subject: Confirm, {{ name }}\n\nHello {{name}},\nopen {{link}}\n"),
     .html = SLICE_INIT("<p>Hello {{name}}, <a href=\"{{link}}\">confirm</a> {not a value} }}</p>\n")},
    {.name = "plain", .text = SLICE_INIT("Subject: Nothing\n\ntext\n"), .html = SLICE_INIT("<p>text</p>\n")},
};
static const struct mail_template_set set = {own, 2};

static struct arena arena;
static char folder[] = "/tmp/bulkhead-mail-XXXXXX";

static void write_file(const char *name, const char *text)
{
  char path[128];
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  FILE *file = fopen(path, "w");
  cr_assert(file != NULL);
  fputs(text, file);
  cr_assert_eq(fclose(file), 0);
}

static void make_folder(void)
{
  arena_init(&arena);
  cr_assert(mkdtemp(folder) != NULL);
}

static void remove_folder(void)
{
  static const char *const names[] = {"confirm.txt", "confirm.html", "plain.txt", "plain.html"};
  char path[128];
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
    (void)unlink(path);
  }
  cr_expect_eq(rmdir(folder), 0);
  arena_free(&arena);
}

static void refused(const char *why)
{
  struct mail_template *loaded;
  struct error error = {0};
  cr_expect_eq(mail_templates_load(&set, folder, &arena, &loaded, &error), STATUS_INVALID_ARGUMENT);
  cr_expect(strstr(error.message, why) != NULL, "\"%s\" lacks \"%s\"", error.message, why);
}

static struct mail_texts fill_first(const char *from, const struct mail_value *values, size_t count)
{
  struct mail_template *loaded = NULL;
  struct error error = {0};
  struct mail_texts texts = {0};
  cr_assert_eq(mail_templates_load(&set, from, &arena, &loaded, &error), STATUS_OK, "%s", error.message);
  cr_assert_eq(mail_template_fill(&loaded[0], values, count, &arena, &texts, &error), STATUS_OK, "%s", error.message);
  return texts;
}

Test(mail_template, is_filled, .init = make_folder, .fini = remove_folder)
{
  const struct mail_value values[] = {{"name", "Ada"}, {"link", "https://example.com/?a=1&b=2"}};
  struct mail_texts texts = fill_first(NULL, values, 2);
  cr_expect_str_eq(texts.subject, "Confirm, Ada");
  cr_expect(slice_equal_string(texts.text, "Hello Ada,\nopen https://example.com/?a=1&b=2\n"));
  cr_expect(slice_equal_string(texts.html, "<p>Hello Ada, <a href=\"https://example.com/?a=1&amp;b=2\">confirm</a> "
                                           "{not a value} }}</p>\n"));
}

Test(mail_template, a_value_is_never_markup, .init = make_folder, .fini = remove_folder)
{
  const struct mail_value values[] = {{"name", "</p><script>\"'&\r\nBcc: x {{link}}"}, {"link", "-"}};
  struct mail_texts texts = fill_first(NULL, values, 2);
  cr_expect_str_eq(texts.subject, "Confirm, </p><script>\"'&  Bcc: x {{link}}");
  cr_expect(memmem(texts.html.data, texts.html.size, "&lt;/p&gt;&lt;script&gt;&quot;&#39;&amp;  Bcc: x {{link}}", 48) !=
            NULL);
}

Test(mail_template, says_which_value_a_mail_lacks, .init = make_folder, .fini = remove_folder)
{
  struct mail_template *loaded = NULL;
  struct error error = {0};
  struct mail_texts texts = {0};
  cr_assert_eq(mail_templates_load(&set, NULL, &arena, &loaded, &error), STATUS_OK, "%s", error.message);
  cr_expect_eq(mail_template_fill(&loaded[0], (const struct mail_value[]){{"name", "Ada"}}, 1, &arena, &texts, &error),
               STATUS_FAILED_PRECONDITION);
  cr_expect_str_eq(error.message, "the template confirm wants a value {{link}} that this mail does not have");
}

Test(mail_template, an_operator_has_his_own, .init = make_folder, .fini = remove_folder)
{
  write_file("confirm.txt", "Subject: Bitte bestätigen\n\n{{link}}\n");
  write_file("confirm.html", "<b>{{link}}</b>");
  struct mail_texts texts = fill_first(folder, (const struct mail_value[]){{"link", "x"}}, 1);
  cr_expect_str_eq(texts.subject, "Bitte bestätigen");
  cr_expect(slice_equal_string(texts.text, "x\n"));
  cr_expect(slice_equal_string(texts.html, "<b>x</b>"));
}

Test(mail_template, says_what_is_wrong_with_a_file, .init = make_folder, .fini = remove_folder)
{
  write_file("confirm.txt", "Subject: Hello\n\n{{link}}\n");
  refused("confirm.html is missing beside");
  write_file("confirm.html", "<p>\n\n{{password}}</p>");
  refused("confirm.html:3: there is no value {{password}} for this mail");
  write_file("confirm.html", "<p>{{link}}</p>");
  write_file("confirm.txt", "Hello\n");
  refused("confirm.txt:1: begin with a line \"Subject: ...\" and an empty line");
  write_file("confirm.txt", "Subject: a\nb\n");
  refused("confirm.txt:1: begin with a line");
  write_file("confirm.txt", "Subject: \xff\n\nb\n");
  refused("confirm.txt: the file is no UTF-8");
}

Test(mail_template, says_that_there_is_no_folder, .init = make_folder, .fini = remove_folder)
{
  struct mail_template *loaded;
  struct error error = {0};
  cr_expect_eq(mail_templates_load(&set, "/nowhere/mail", &arena, &loaded, &error), STATUS_INVALID_ARGUMENT);
  cr_expect(strstr(error.message, "/nowhere/mail: No such file or directory") != NULL, "%s", error.message);
}
