#include <criterion/criterion.h>
#include <string.h>

#include "common/mail/message.h"

TestSuite(mail_message);

static const struct mail plain_mail = {
    .from = "accounts@example.com",
    .from_name = "Example",
    .to = "ada@example.org",
    .subject = "Confirm your address",
    .text = SLICE_INIT("Hello\nworld\n"),
    .html = SLICE_INIT("<p>Hello</p>\n"),
    .id = "01936b5e-7c1a.1",
    .date_s = 1767225600,
};

static const char *compose(const struct mail *mail)
{
  static struct strbuf out;
  struct error error = {0};
  strbuf_free(&out);
  strbuf_init(&out, 0);
  cr_assert_eq(mail_compose(mail, &out, &error), STATUS_OK, "%s", error.message);
  return strbuf_cstring(&out);
}

static void refused(const struct mail *mail, const char *why)
{
  struct strbuf out;
  struct error error = {0};
  strbuf_init(&out, 0);
  cr_expect_eq(mail_compose(mail, &out, &error), STATUS_INVALID_ARGUMENT);
  cr_expect(strstr(error.message, why) != NULL, "\"%s\" lacks \"%s\"", error.message, why);
  cr_expect_eq(out.size, 0);
  strbuf_free(&out);
}

static void has(const char *text, const char *part)
{
  cr_expect(strstr(text, part) != NULL, "lacks \"%s\":\n%s", part, text);
}

Test(mail_message, is_the_message_that_its_parts_say)
{
  cr_expect_str_eq(compose(&plain_mail), "From: \"Example\"\r\n <accounts@example.com>\r\n"
                                         "To: <ada@example.org>\r\n"
                                         "Subject: Confirm your address\r\n"
                                         "Date: Thu, 01 Jan 2026 00:00:00 +0000\r\n"
                                         "Message-ID: <01936b5e-7c1a.1@example.com>\r\n"
                                         "Auto-Submitted: auto-generated\r\n"
                                         "MIME-Version: 1.0\r\n"
                                         "Content-Type: multipart/alternative; boundary=\"=_01936b5e-7c1a.1\"\r\n"
                                         "\r\n"
                                         "--=_01936b5e-7c1a.1\r\n"
                                         "Content-Type: text/plain; charset=utf-8\r\n"
                                         "Content-Transfer-Encoding: quoted-printable\r\n"
                                         "\r\n"
                                         "Hello\r\nworld\r\n"
                                         "--=_01936b5e-7c1a.1\r\n"
                                         "Content-Type: text/html; charset=utf-8\r\n"
                                         "Content-Transfer-Encoding: quoted-printable\r\n"
                                         "\r\n"
                                         "<p>Hello</p>\r\n"
                                         "--=_01936b5e-7c1a.1--\r\n");
}

Test(mail_message, sends_other_letters_than_english_ones)
{
  struct mail mail = plain_mail;
  mail.from_name = "Zoë";
  mail.subject = "Grüße, und eine lange Zeile, die nicht in ein einziges Wort paßt: äöüß äöüß äöüß";
  mail.text = SLICE("Grüße = 1\n");
  const char *text = compose(&mail);
  has(text, "From: =?UTF-8?B?Wm/Dqw==?=\r\n <accounts@example.com>\r\n");
  has(text, "Subject: =?UTF-8?B?R3LDvMOfZSwgdW5kIGVpbmUgbGFuZ2UgWmVpbGUsIGRpZSBuaWNodCBp?=\r\n =?UTF-8?B?");
  has(text, "Gr=C3=BC=C3=9Fe =3D 1\r\n");
}

Test(mail_message, has_no_line_that_a_server_refuses)
{
  char long_line[5000];
  memset(long_line, 'x', sizeof(long_line));
  char subject[MAIL_MAX_HEADER_TEXT + 1];
  memset(subject, 's', sizeof(subject) - 1);
  subject[sizeof(subject) - 1] = '\0';
  struct mail mail = plain_mail;
  mail.text = slice_make(long_line, sizeof(long_line));
  mail.subject = subject;
  for (const char *line = compose(&mail); *line != '\0';) {
    const char *end = strstr(line, "\r\n");
    cr_assert(end != NULL);
    cr_expect_leq((size_t)(end - line), 78);
    line = end + 2;
  }
}

Test(mail_message, keeps_each_byte_of_a_text)
{
  struct mail mail = plain_mail;
  mail.text = SLICE("end of line \nbare\rreturn\t\n.\n--=_01936b5e-7c1a.1\n");
  const char *text = compose(&mail);
  has(text, "end of line=20\r\nbare=0Dreturn=09\r\n.\r\n--=3D_01936b5e-7c1a.1\r\n");
}

Test(mail_message, lets_no_value_begin_a_header)
{
  struct mail mail = plain_mail;
  mail.subject = "Hello\r\nBcc: mallory@example.com";
  refused(&mail, "subject");
  mail = plain_mail;
  mail.from_name = "Ada\nX: y";
  refused(&mail, "sender's name");
  mail = plain_mail;
  mail.to = "ada@example.org\r\nRCPT TO:<mallory@example.com>";
  refused(&mail, "recipient");
  mail = plain_mail;
  mail.id = "1>\r\nX: y";
  refused(&mail, "id");
  mail = plain_mail;
  mail.from_name = "say \"hi\" \\ <x@y>";
  has(compose(&mail), "From: \"say \\\"hi\\\" \\\\ <x@y>\"\r\n <accounts@example.com>\r\n");
}

Test(mail_message, refuses_what_is_no_address_and_no_text)
{
  static const char *const wrong[] = {"",        "ada",       "@example.org", "ada@",    "a b@c.d", "a@b@c",
                                      "<a@b.c>", "a@b.c,d@e", "\"a\"@b.c",    "zoë@b.c", "a@b.c\t", "a(x)@b.c"};
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
    cr_expect(!mail_is_address(slice_from_string(wrong[i])), "%s", wrong[i]);
  cr_expect(mail_is_address(SLICE("o'neil+tag@mail.example.org")));
  struct mail mail = plain_mail;
  mail.html = SLICE("\xff");
  refused(&mail, "UTF-8");
  mail = plain_mail;
  mail.subject = "\xc3";
  refused(&mail, "subject");
}

// What looks like an encoded word is shown as it was written.
Test(mail_message, encodes_what_looks_encoded)
{
  struct mail mail = plain_mail;
  mail.subject = "=?UTF-8?B?QmNj?=";
  has(compose(&mail), "Subject: =?UTF-8?B?PT9VVEYtOD9CP1FtTmo/PQ==?=\r\n");
}
