#include "common/mail/message.h"

#include <string.h>
#include <time.h>

#include "common/base/codec.h"
#include "common/base/utf8.h"

// The longest line of an encoded text, without its end (RFC 2045, section 6.7).
#define LINE_MAX_BYTES 76
// How many bytes of text go into one encoded word (RFC 2047, section 2): 68 characters, so that the first one has room
// beside the header's name.
#define WORD_MAX_BYTES 42

// ---- what is allowed ----

static bool is_atom(char letter)
{
  return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
         letter == '.' || letter == '-' || letter == '_';
}

bool mail_is_address(struct slice text)
{
  const char *at = text.size == 0 ? NULL : memchr(text.data, '@', text.size);
  if (at == NULL || at == text.data || at == text.data + text.size - 1 || text.size > MAIL_MAX_ADDRESS)
    return false;
  for (size_t i = 0; i < text.size; i++) {
    char letter = text.data[i];
    bool is_second = letter == '@' && text.data + i != at;
    if (letter <= ' ' || letter > '~' || is_second || strchr("<>()[]\\,;:\"", letter) != NULL)
      return false;
  }
  return true;
}

static bool is_id(const char *id)
{
  size_t size = strlen(id);
  for (size_t i = 0; i < size; i++)
    if (!is_atom(id[i]))
      return false;
  return size > 0 && size <= 128;
}

static bool is_header_text(struct slice text)
{
  if (text.size > MAIL_MAX_HEADER_TEXT || !utf8_valid(text))
    return false;
  for (size_t i = 0; i < text.size; i++)
    if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
      return false;
  return true;
}

static struct slice name_of(const struct mail *mail)
{
  return slice_from_string(mail->from_name == NULL ? "" : mail->from_name);
}

static enum status check(const struct mail *mail, struct error *error)
{
  const char *fault = NULL;
  if (!mail_is_address(slice_from_string(mail->from)))
    fault = "the sender's address is no address";
  else if (!mail_is_address(slice_from_string(mail->to)))
    fault = "the recipient's address is no address";
  else if (!is_header_text(name_of(mail)))
    fault = "the sender's name is too long, no UTF-8, or holds control characters";
  else if (!is_header_text(slice_from_string(mail->subject)))
    fault = "the subject is too long, no UTF-8, or holds control characters";
  else if (!utf8_valid(mail->text) || !utf8_valid(mail->html))
    fault = "the text is no UTF-8";
  else if (!is_id(mail->id))
    fault = "the message's id holds other characters than letters, digits, '.', '-' and '_', or is too long";
  return fault == NULL ? STATUS_OK : error_set(error, STATUS_INVALID_ARGUMENT, "%s", fault);
}

// ---- headers ----

static bool needs_encoding(struct slice text)
{
  for (size_t i = 0; i < text.size; i++) {
    // What looks like an encoded word would be decoded.
    bool begins_word = text.data[i] == '=' && i + 1 < text.size && text.data[i + 1] == '?';
    if ((unsigned char)text.data[i] > '~' || begins_word)
      return true;
  }
  // A long line must be folded, which encoded words are.
  return text.size > LINE_MAX_BYTES - 20;
}

// Returns how many bytes of the text go into the next encoded word, which must not split a character.
static size_t measure_word(struct slice text)
{
  size_t size = text.size < WORD_MAX_BYTES ? text.size : WORD_MAX_BYTES;
  while (size < text.size && ((unsigned char)text.data[size] & 0xc0) == 0x80)
    size--;
  return size;
}

static void add_words(struct strbuf *out, struct slice text)
{
  for (bool is_first = true; text.size > 0; is_first = false) {
    size_t size = measure_word(text);
    strbuf_add_string(out, is_first ? "=?UTF-8?B?" : "\r\n =?UTF-8?B?");
    base64_encode(slice_make(text.data, size), out);
    strbuf_add_string(out, "?=");
    text = slice_make(text.data + size, text.size - size);
  }
}

// Adds a name as a quoted string (RFC 5322, section 3.2.4).
static void add_quoted(struct strbuf *out, struct slice text)
{
  strbuf_add_byte(out, '"');
  for (size_t i = 0; i < text.size; i++) {
    if (text.data[i] == '"' || text.data[i] == '\\')
      strbuf_add_byte(out, '\\');
    strbuf_add_byte(out, text.data[i]);
  }
  strbuf_add_byte(out, '"');
}

static void add_sender(struct strbuf *out, const struct mail *mail)
{
  struct slice name = name_of(mail);
  strbuf_add_string(out, "From: ");
  if (name.size > 0 && needs_encoding(name))
    add_words(out, name);
  else if (name.size > 0)
    add_quoted(out, name);
  // An address of full length has a line of its own, because lines beyond 998 characters are refused.
  strbuf_printf(out, "%s<%s>\r\n", name.size > 0 ? "\r\n " : "", mail->from);
}

static void add_subject(struct strbuf *out, const struct mail *mail)
{
  struct slice subject = slice_from_string(mail->subject);
  strbuf_add_string(out, "Subject: ");
  if (needs_encoding(subject))
    add_words(out, subject);
  else
    strbuf_add(out, subject);
  strbuf_add_string(out, "\r\n");
}

// Adds the time as RFC 5322, section 3.3, has it: in English, whatever the locale is.
static void add_date(struct strbuf *out, int64_t date_s)
{
  static const char days[] = "SunMonTueWedThuFriSat";
  static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
  time_t seconds = (time_t)date_s;
  struct tm date = {0};
  (void)gmtime_r(&seconds, &date);
  strbuf_printf(out, "Date: %.3s, %02d %.3s %d %02d:%02d:%02d +0000\r\n", days + 3 * date.tm_wday, date.tm_mday,
                months + 3 * date.tm_mon, date.tm_year + 1900, date.tm_hour, date.tm_min, date.tm_sec);
}

static void add_headers(struct strbuf *out, const struct mail *mail)
{
  add_sender(out, mail);
  strbuf_printf(out, "To: <%s>\r\n", mail->to);
  add_subject(out, mail);
  add_date(out, mail->date_s);
  strbuf_printf(out, "Message-ID: <%s@%s>\r\n", mail->id, strchr(mail->from, '@') + 1);
  // Keeps holiday notices and the like from answering (RFC 3834).
  strbuf_add_string(out, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n");
  // Quoted-printable never has an '=' before a '_', so the boundary is in no text.
  strbuf_printf(out, "Content-Type: multipart/alternative; boundary=\"=_%s\"\r\n\r\n", mail->id);
}

// ---- bodies, quoted-printable (RFC 2045, section 6.7) ----

static bool is_plain(struct slice text, size_t at)
{
  char letter = text.data[at];
  bool is_last = at + 1 == text.size || text.data[at + 1] == '\n';
  if (letter == ' ' || letter == '\t')
    return !is_last;
  return letter > ' ' && letter <= '~' && letter != '=';
}

static void add_quoted_printable(struct strbuf *out, struct slice text)
{
  static const char digits[] = "0123456789ABCDEF";
  size_t column = 0;
  for (size_t i = 0; i < text.size; i++) {
    unsigned char byte = (unsigned char)text.data[i];
    if (byte == '\n') {
      strbuf_add_string(out, "\r\n");
      column = 0;
      continue;
    }
    if (byte == '\r' && i + 1 < text.size && text.data[i + 1] == '\n')
      continue;
    size_t width = is_plain(text, i) ? 1 : 3;
    // One column is kept for the '=' that joins the line with the next.
    if (column + width > LINE_MAX_BYTES - 1) {
      strbuf_add_string(out, "=\r\n");
      column = 0;
    }
    if (width == 1)
      strbuf_add_byte(out, (char)byte);
    else
      strbuf_add(out, slice_make((char[]){'=', digits[byte >> 4], digits[byte & 15]}, 3));
    column += width;
  }
  if (column > 0)
    strbuf_add_string(out, "\r\n");
}

static void add_part(struct strbuf *out, const struct mail *mail, const char *type, struct slice text)
{
  strbuf_printf(out, "--=_%s\r\nContent-Type: text/%s; charset=utf-8\r\n", mail->id, type);
  strbuf_add_string(out, "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
  add_quoted_printable(out, text);
}

enum status mail_compose(const struct mail *mail, struct strbuf *out, struct error *error)
{
  enum status status = check(mail, error);
  if (status != STATUS_OK)
    return status;
  add_headers(out, mail);
  add_part(out, mail, "plain", mail->text);
  add_part(out, mail, "html", mail->html);
  strbuf_printf(out, "--=_%s--\r\n", mail->id);
  return out->failed ? error_set(error, STATUS_INVALID_ARGUMENT, "the mail is too large") : STATUS_OK;
}
