/* Takes bytes apart as the form of a browser; the first line is the Content-Type. */
#include <stdint.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/net/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    const char *at, *end;
};

/* Parts lie in the body, one behind the other, and have the names that are promised. */
static int note(void *arg, const char *name, const char *data, size_t len)
{
    struct seen *seen = arg;
    CM_BUG_ON(data < seen->at || data + len > seen->end);
    CM_BUG_ON(name[0] == '\0' || strlen(name) > MULTIPART_NAME_MAX || strpbrk(name, "\r\n;\" "));
    seen->at = data + len;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *line = size > 0 ? memchr(data, '\n', size) : NULL;
    if (!line)
        return 0;
    CM_AUTO_STR type = cm_strndup((const char *)data, (size_t)(line - data));
    const char *body = (const char *)line + 1;
    size_t len = size - (size_t)(line + 1 - data);
    struct seen seen = {.at = body, .end = body + len};
    (void)multipart_each(type, body, len, note, &seen, NULL);
    return 0;
}
