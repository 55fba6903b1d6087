/* Splitting a request target into database, document and query. */
#include "replicator/route.h"

#include <string.h>

#include "base/core/mem.h"
#include "base/core/num.h"
#include "base/core/utf8.h"
#include "base/net/url.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes one path segment ('+' stays '+'); NULL when it is not well-formed UTF-8 text. */
static char *decode(const char *text, size_t len)
{
    char *out = cm_malloc(len + 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (c == '%') {
            int high = i + 2 < len ? hex_digit(text[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
            c = '\0';
            if (low >= 0)
                c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0') {
            cm_free(out);
            return NULL;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    if (!cm_utf8_ok(out, n)) {
        cm_free(out);
        return NULL;
    }
    return out;
}

/* Many slashes in a row are one, and one at the end is none: so CouchDB takes a path apart. */
static const char *behind_slashes(const char *path)
{
    return path + strspn(path, "/");
}

static int add_pair(void *arg, const char *name, const char *value)
{
    struct rp_route *route = arg;
    if (route->query_count == HTTP_QUERY_MAX)
        return CM_ELIMIT;
    route->query[route->query_count++] =
        (struct rp_pair){.name = cm_strdup(name), .value = cm_strdup(value)};
    return 0;
}

/* The part of the path behind "/db/", up to end. */
static int parse_name(const char *path, const char *end, struct rp_route *ret, struct cm_err *err)
{
    static const char *const kept[] = {"_design/", "_local/"};
    const char *prefix = "";
    for (size_t i = 0; i < 2; i++) {
        if (strncmp(path, kept[i], strlen(kept[i])) == 0) {
            prefix = kept[i];
            path = behind_slashes(path + strlen(prefix));
            break;
        }
    }
    const char *slash = memchr(path, '/', (size_t)(end - path));
    CM_AUTO_STR name = decode(path, (size_t)((slash ? slash : end) - path));
    if (!name)
        return cm_fail(err, CM_EMALF, "the document id in the URL is not well-formed");
    cm_free(ret->name);
    ret->name = cm_asprintf("%s%s", prefix, name);
    if (strncmp(ret->name, "_local/", 7) == 0) {
        ret->place = RP_AT_LOCAL;
        memmove(ret->name, ret->name + 7, strlen(ret->name + 7) + 1);
    } else if (ret->name[0] == '_' && strncmp(ret->name, "_design/", 8) != 0) {
        ret->place = RP_AT_VERB;
    } else {
        ret->place = RP_AT_DOC;
    }
    if (slash && behind_slashes(slash) < end)
        ret->place = ret->place == RP_AT_LOCAL ? RP_AT_BELOW_LOCAL : RP_AT_ATTACHMENT;
    return 0;
}

int rp_route_parse(const char *target, struct rp_route *ret, struct cm_err *err)
{
    *ret = (struct rp_route){.db = cm_strdup(""), .name = cm_strdup("")};
    if (target[0] != '/')
        return cm_fail(err, CM_EMALF, "the URL has no path");
    const char *path = behind_slashes(target);
    size_t len = strcspn(path, "?");
    const char *end = path + len, *query = *end ? end + 1 : end;
    int rc = url_form_each(query, strlen(query), add_pair, ret, err);
    if (rc < 0)
        return rc;
    if (len == 0)
        return 0;
    const char *slash = memchr(path, '/', len);
    size_t db_len = slash ? (size_t)(slash - path) : len;
    char *db = decode(path, db_len);
    if (!db)
        return cm_fail(err, CM_EMALF, "the database name in the URL is not well-formed");
    cm_free(ret->db);
    ret->db = db;
    ret->place = RP_AT_DB;
    const char *rest = slash ? behind_slashes(slash) : end;
    return rest == end ? 0 : parse_name(rest, end, ret, err);
}

void rp_route_fini(struct rp_route *route)
{
    cm_free(route->db);
    cm_free(route->name);
    for (size_t i = 0; i < route->query_count; i++) {
        cm_free(route->query[i].name);
        cm_free(route->query[i].value);
    }
    *route = (struct rp_route){0};
}

const char *rp_query(const struct rp_route *route, const char *name)
{
    for (size_t i = route->query_count; i > 0; i--)
        if (strcmp(route->query[i - 1].name, name) == 0)
            return route->query[i - 1].value;
    return NULL;
}

bool rp_query_true(const struct rp_route *route, const char *name)
{
    const char *value = rp_query(route, name);
    return value && strcmp(value, "true") == 0;
}

bool rp_count(const char *text, int64_t *ret)
{
    int rc = cm_num_i64(text, 0, INT64_MAX, ret);
    if (rc == CM_ELIMIT)
        *ret = INT64_MAX;
    return rc == 0 || rc == CM_ELIMIT;
}
