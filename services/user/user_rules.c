#include "services/user/user_rules.h"

#include "common/service/resource.h"

static void copy_email(void *to, const void *from)
{
  ((User__V1__User *)to)->email = ((const User__V1__User *)from)->email;
}

static void copy_display_name(void *to, const void *from)
{
  ((User__V1__User *)to)->display_name = ((const User__V1__User *)from)->display_name;
}

static const struct resource_field FIELDS[] = {
    {"email", copy_email}, {"display_name", copy_display_name},
    {"id", NULL},          {"create_time", NULL},
    {"update_time", NULL}, {"etag", NULL},
};

const char *user_rules_merge(User__V1__User *user, const User__V1__User *change,
                             const Google__Protobuf__FieldMask *mask)
{
  return resource_merge(user, change, mask, FIELDS, ARRAY_LEN(FIELDS));
}

// The list has no filters; the number is its version.
#define LIST_FINGERPRINT 1

const char *user_rules_write_token(const User__V1__User *last, struct arena *arena)
{
  const char *micros = arena_printf(arena, "%lld", (long long)resource_micros(last->create_time));
  return resource_write_page_token(LIST_FINGERPRINT, slice_from_string(micros), slice_from_string(last->id), arena);
}

bool user_rules_read_token(const char *token, struct arena *arena, struct user_place *place)
{
  struct slice value, id_text;
  if (!resource_read_page_token(token, LIST_FINGERPRINT, arena, &value, &id_text) ||
      !resource_parse_micros(value, &place->micros))
    return false;
  place->id = id_text.data;
  return true;
}
