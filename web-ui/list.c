/* Pages of credentials over the store's indexes (keyset paging).  See view.h. */
#include "web-ui/view.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "base/net/hostname.h"

static const struct {
    const char *name;
    enum cs_index index;
} views[VIEW_COUNT] = {
    [VIEW_HOST] = {"host", CS_BY_HOST},
    [VIEW_EXPIRY] = {"expiry", CS_BY_EXPIRY},
    [VIEW_STATUS] = {"status", CS_BY_STATUS},
    [VIEW_SERVER] = {"server", CS_BY_SERVER},
};

const char *web_view_name(enum web_view view)
{
    return views[view].name;
}

int web_view_parse(const char *name, enum web_view *ret, struct cm_err *err)
{
    *ret = VIEW_HOST;
    for (int v = 0; name && v < VIEW_COUNT; v++) {
        if (strcmp(views[v].name, name) == 0) {
            *ret = (enum web_view)v;
            return 0;
        }
    }
    if (name)
        return cm_fail(err, CM_EINVAL, "unknown view; known are host, expiry, status and server");
    return 0;
}

/* "www.example.com" <-> "com.example.www", as the index by host has it. */
static char *reverse_labels(const char *name)
{
    size_t len = strlen(name);
    char *out = cm_strdup(name);
    size_t at = 0;

    for (size_t end = len; at <= len;) {
        size_t start = end;

        while (start > 0 && name[start - 1] != '.')
            start--;
        memcpy(out + at, name + start, end - start);
        at += end - start;
        if (start == 0)
            break;
        out[at++] = '.';
        end = start - 1;
    }
    return out;
}

struct page_entry {
    char *key, *id;
};
struct page {
    const char *domain; /* reversed, or NULL */
    struct page_entry entry[VIEW_PAGE_ROWS];
    size_t count;
    bool more;
};

static int take_entry(void *arg, const char *key, const char *id)
{
    struct page *page = arg;
    size_t len = page->domain ? strlen(page->domain) : 0;

    /* The prefix "com.example" also begins "com.example2". */
    if (len && key[len] != '\0' && key[len] != '.')
        return 0;
    if (page->count == VIEW_PAGE_ROWS) {
        page->more = true;
        return 1;
    }
    page->entry[page->count].key = cm_strdup(key);
    page->entry[page->count].id = cm_strdup(id);
    page->count++;
    return 0;
}

static void page_fini(struct page *page)
{
    for (size_t i = 0; i < page->count; i++) {
        cm_free(page->entry[i].key);
        cm_free(page->entry[i].id);
    }
}

/* Cursor = base64url of "key\nid": index keys hold no control bytes. */
static json_t *cursor_make(const struct page_entry *entry)
{
    CM_AUTO_STR text = cm_asprintf("%s\n%s", entry->key, entry->id);
    CM_AUTO_STR cursor = cm_b64url(text, strlen(text));

    return json_string(cursor);
}

static int cursor_read(const char *cursor, char **ret_text, char **ret_id, struct cm_err *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    char *newline;

    if (strlen(cursor) > VIEW_CURSOR_MAX ||
        cm_b64url_decode(cursor, strlen(cursor), &bytes, &len) < 0)
        return cm_fail(err, CM_EINVAL, "the paging cursor is not one of ours");
    *ret_text = cm_strndup((const char *)bytes, len);
    cm_free(bytes);
    newline = strchr(*ret_text, '\n');
    if (!newline) {
        cm_free(*ret_text);
        *ret_text = NULL;
        return cm_fail(err, CM_EINVAL, "the paging cursor is not one of ours");
    }
    *newline = '\0';
    *ret_id = newline + 1;
    return 0;
}

/* What people read instead of the index key. */
static json_t *shown_key(enum web_view view, const char *key)
{
    CM_AUTO_STR name = NULL;
    char unicode[HOSTNAME_MAX * 4];

    if (view != VIEW_HOST)
        return json_string(key);
    name = reverse_labels(key);
    hostname_to_unicode(name, unicode, sizeof(unicode));
    return json_string(unicode);
}

static json_t *row_of(struct cs_store *store, enum web_view view, const struct page_entry *entry,
                      const json_t *body)
{
    static const char *const members[] = {
        "status",  "host_names", "host_names_ascii", "provider",  "account", "key_type",
        "servers", "not_after",  "next_action_at",   "issued_at", "paused",  "keyring_file"};
    json_t *row = json_object();
    const char *colon = strchr(entry->id, ':');

    cm_json_set_str(row, "id", colon ? colon + 1 : entry->id);
    cm_json_set(row, "key", shown_key(view, entry->key));
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        json_t *member = json_object_get(body, members[i]);

        if (member)
            cm_json_set(row, members[i], json_incref(member));
    }
    cm_json_set(row, "health", eng_health(store, cm_json_str_or(row, "id", ""), body));
    cm_json_set_str(row, "error", cm_json_str(cm_json_obj(body, "error"), "what"));
    return row;
}

static json_t *rows_of(struct cs_store *store, enum web_view view, const struct page *page)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < page->count; i++) {
        CM_AUTO_JSON body = cs_get_body(store, page->entry[i].id);

        if (body)
            json_array_append_new(rows, row_of(store, view, &page->entry[i], body));
    }
    return rows;
}

int web_list(struct cs_store *store, enum web_view view, const char *after, const char *domain,
             json_t **ret, struct cm_err *err)
{
    struct page page = {0};
    CM_AUTO_STR reversed = NULL;
    CM_AUTO_STR after_key = NULL;
    char *after_id = NULL;
    char ascii[HOSTNAME_MAX];
    enum hostname_kind kind;

    *ret = NULL;
    if (domain && view == VIEW_HOST) {
        if (hostname_to_ascii(domain, ascii, &kind, err) < 0)
            return CM_EINVAL;
        reversed = reverse_labels(ascii);
        page.domain = reversed;
    }
    if (after && cursor_read(after, &after_key, &after_id, err) < 0)
        return CM_EINVAL;
    cs_each(store, views[view].index, reversed ? reversed : "", after_key, after_id, take_entry,
            &page);
    *ret = json_object();
    cm_json_set_str(*ret, "view", views[view].name);
    cm_json_set(*ret, "credentials", rows_of(store, view, &page));
    json_object_set_new(*ret, "next",
                        page.more ? cursor_make(&page.entry[page.count - 1]) : json_null());
    page_fini(&page);
    return 0;
}
