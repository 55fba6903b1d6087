/* Entity tags.  See etag.h. */
#include "base/net/etag.h"

#include <string.h>

/* Length of the entity-tag at text with its W/ and quotes; 0 = none. */
static size_t tag_length(const char *text)
{
    size_t prefix = strncmp(text, "W/", 2) == 0 ? 2 : 0;
    const char *end = text[prefix] == '"' ? strchr(text + prefix + 1, '"') : NULL;

    return end ? (size_t)(end - text) + 1 : 0;
}

bool http_etag_listed(const char *list, const char *etag, bool weak)
{
    size_t wanted = strlen(etag);

    list += strspn(list, " \t");
    if (strcmp(list, "*") == 0)
        return true;
    for (;;) {
        const char *tag;
        size_t len;

        list += strspn(list, " \t,");
        len = tag_length(list);
        if (len == 0)
            return false;
        tag = list[0] == 'W' ? list + 2 : list;
        if ((weak || tag == list) && (size_t)(list + len - tag) == wanted &&
            memcmp(tag, etag, wanted) == 0)
            return true;
        list += len;
    }
}
