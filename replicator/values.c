/* The bound on values of a JSON text.  See values.h. */
#include "replicator/values.h"

bool rp_values_ok(const char *text, size_t len)
{
    size_t count = 0;
    for (size_t i = 0; i < len; i++)
        count += (text[i] == ',') | (text[i] == '[') | (text[i] == '{');
    return count <= RP_VALUES_MAX;
}
