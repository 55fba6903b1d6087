/* Feeds bytes to the HTTP head parser as the server does: scan for the block, then parse it.  What
 * is accepted must keep the promises that handlers rely on. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/net/http_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        unsigned char u = (unsigned char)*c;
        CM_BUG_ON((u < 0x20 && u != '\t') || u == 0x7f);
    }
}

static void check_head(const struct http_head *head)
{
    CM_BUG_ON(head->path[0] != '/' || head->target[0] != '/' || head->host[0] == '\0');
    CM_BUG_ON(strstr(head->path, "/../") != NULL || strstr(head->path, "/./") != NULL);
    CM_BUG_ON(head->content_length < 0 || (head->content_length > 0 && !head->has_body));
    CM_BUG_ON(head->field_count > HTTP_FIELDS_MAX);
    CM_BUG_ON(http_head_field(head, "transfer-encoding") != NULL);
    check_text(head->path);
    check_text(head->query);
    for (size_t i = 0; i < head->field_count; i++) {
        CM_BUG_ON(head->field[i].name[0] == '\0');
        check_text(head->field[i].value);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_head head;
    size_t seen = 0;
    int status = 0;
    int n = http_head_scan((const char *)data, size, &seen, &status, NULL);

    CM_BUG_ON(n < 0 && status < 400);
    if (n > 0) {
        int r = http_head_parse((const char *)data, (size_t)n, &head, &status, NULL);
        CM_BUG_ON((r < 0) != (status >= 400));
        if (r == 0)
            check_head(&head);
        http_head_fini(&head);
    }
    /* The parser alone must stand any bytes as well. */
    http_head_parse((const char *)data, size, &head, &status, NULL);
    http_head_fini(&head);
    return 0;
}
