/* Bodies of forms with a file, taken apart.  See multipart.h. */
#include "base/net/multipart.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TYPE        "multipart/form-data"
#define DISPOSITION "content-disposition:"
#define NAME_CHARS  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"
#define BLANKS      " \t"

/* Value of a parameter ("; key=value" or "; key=\"value\"") in [at, end) into out; false = absent,
 * or it does not fit.  A ';' within quotes begins nothing; browsers write %22 for a quote (WHATWG
 * HTML 4.10.21.8), so a backslash is a character like others. */
static bool parameter(const char *at, const char *end, const char *key, char *out, size_t size)
{
    size_t key_len = strlen(key);

    while ((at = memchr(at, ';', (size_t)(end - at)))) {
        const char *name, *value, *stop;

        at++;
        while (at < end && strchr(BLANKS, *at))
            at++;
        name = at;
        while (at < end && *at != '=' && *at != ';')
            at++;
        if (at >= end || *at == ';')
            continue;
        value = at + 1;
        if (value < end && *value == '"') {
            value++;
            stop = memchr(value, '"', (size_t)(end - value));
            if (!stop)
                return false;
        } else {
            stop = memchr(value, ';', (size_t)(end - value));
            stop = stop ? stop : end;
        }
        if ((size_t)(at - name) == key_len && strncasecmp(name, key, key_len) == 0) {
            size_t len = (size_t)(stop - value);

            if (len == 0 || len >= size || memchr(value, '\0', len))
                return false;
            memcpy(out, value, len);
            out[len] = '\0';
            return true;
        }
        at = stop;
    }
    return false;
}

/* The part's name from its header fields, which end in CR LF each. */
static bool name_of(const char *head, size_t len, char out[MULTIPART_NAME_MAX + 1])
{
    const char *end = head + len;

    while (head < end) {
        const char *stop = memmem(head, (size_t)(end - head), "\r\n", 2);
        size_t skip = strlen(DISPOSITION);

        if (!stop)
            stop = end;
        if ((size_t)(stop - head) > skip && strncasecmp(head, DISPOSITION, skip) == 0)
            return parameter(head + skip, stop, "name", out, MULTIPART_NAME_MAX + 1) &&
                   out[strspn(out, NAME_CHARS)] == '\0';
        head = stop + 2;
    }
    return false;
}

struct body {
    const char *at, *end;
    char mark[MULTIPART_BOUNDARY_MAX + 5]; /* CR LF "--" boundary */
    size_t mark_len;
};

/* The part behind a boundary.  Returns 1 at the last boundary, 0 when *name, *data and *data_len
 * are of a part, or CM_EMALF. */
static int next_part(struct body *body, char name[MULTIPART_NAME_MAX + 1], const char **data,
                     size_t *data_len, struct cm_err *err)
{
    size_t left = (size_t)(body->end - body->at);
    const char *head_end, *stop;

    if (left >= 2 && memcmp(body->at, "--", 2) == 0)
        return 1;
    if (left < 2 || memcmp(body->at, "\r\n", 2) != 0)
        return cm_fail(err, CM_EMALF, "form with a file: a boundary does not end in a line end");
    head_end =
        memmem(body->at, left < MULTIPART_HEAD_MAX ? left : MULTIPART_HEAD_MAX, "\r\n\r\n", 4);
    if (!head_end)
        return cm_fail(err, CM_EMALF,
                       "form with a file: the head of a part is too long or cut off");
    if (head_end == body->at || !name_of(body->at + 2, (size_t)(head_end - body->at - 2), name))
        return cm_fail(err, CM_EMALF, "form with a file: a part has no good name");
    *data = head_end + 4;
    stop = memmem(*data, (size_t)(body->end - *data), body->mark, body->mark_len);
    if (!stop)
        return cm_fail(err, CM_EMALF, "form with a file: it is cut off");
    *data_len = (size_t)(stop - *data);
    body->at = stop + body->mark_len;
    return 0;
}

int multipart_each(const char *content_type, const char *bytes, size_t len, multipart_fn fn,
                   void *arg, struct cm_err *err)
{
    char boundary[MULTIPART_BOUNDARY_MAX + 1], name[MULTIPART_NAME_MAX + 1];
    struct body body = {.at = bytes, .end = bytes + len};
    size_t type_len = strlen(TYPE), data_len = 0;
    const char *data = NULL;

    if (strncasecmp(content_type, TYPE, type_len) != 0 ||
        !parameter(content_type + type_len, content_type + strlen(content_type), "boundary",
                   boundary, sizeof(boundary)))
        return cm_fail(err, CM_EMALF, "form with a file: Content-Type names no good boundary");
    body.mark_len = (size_t)snprintf(body.mark, sizeof(body.mark), "\r\n--%s", boundary);
    /* The first one has no line end before it. */
    if (len < body.mark_len - 2 || memcmp(bytes, body.mark + 2, body.mark_len - 2) != 0)
        return cm_fail(err, CM_EMALF, "form with a file: it does not begin with its boundary");
    body.at += body.mark_len - 2;
    for (unsigned parts = 0; parts <= MULTIPART_PARTS_MAX; parts++) {
        int rc = next_part(&body, name, &data, &data_len, err);

        if (rc != 0)
            return rc > 0 ? 0 : rc;
        if (parts == MULTIPART_PARTS_MAX)
            break;
        rc = fn(arg, name, data, data_len);
        if (rc != 0)
            return rc;
    }
    return cm_fail(err, CM_ELIMIT, "form with a file: more than %d parts", MULTIPART_PARTS_MAX);
}
