#include "proto/plugin/breaking.h"
void breaking_find(const struct contract *released, const struct contract *present, struct diagnostics *diagnostics)
{
  (void)released, (void)present, (void)diagnostics;
}
