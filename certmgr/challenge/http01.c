/*
 * The answering side of HTTP-01 (RFC 8555 8.3): a token asked for on any server is looked up in
 * the replicated `challenge:` documents, so whichever server the CA meets can answer.
 */
#include "certmgr/challenge/challenge.h"

#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "certmgr/challenge/answer.h"
#include "certmgr/challenge/probe.h"

#define TOKEN_MAX 255 /* base64url characters (reference/acme.md 3.1) */

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* RFC 8555 8.3: a token has base64url characters only; anything else never reaches the store. */
static bool token_ok(const char *token)
{
    size_t len = strnlen(token, TOKEN_MAX + 1);
    return len > 0 && len <= TOKEN_MAX && strspn(token, base64url) == len;
}

struct found {
    const char *token;
    char id[CS_ID_MAX + 1];
    size_t skip; /* exact hits already tried */
    size_t seen;
};

static int on_token(void *arg, const char *key, const char *id)
{
    struct found *found = arg;
    if (strcmp(key, found->token) != 0)
        return 0;
    if (found->seen++ < found->skip)
        return 0;
    return cm_strcpy(found->id, sizeof(found->id), id) == 0 ? 1 : 0;
}

static char *live_answer(const json_t *body, const char *token, int64_t now_ms)
{
    size_t i;
    json_t *entry;
    json_array_foreach(cm_json_arr(body, "tokens"), i, entry)
    {
        const char *text = cm_json_str(entry, "token");
        const char *answer = cm_json_str(entry, "key_authorization");
        if (!text || !answer || strcmp(text, token) != 0)
            continue;
        /* Without a readable expiry a token counts as expired: never served too long. */
        if (cm_json_time(entry, "expires_at", 0) > now_ms)
            return cm_strdup(answer);
    }
    return NULL;
}

char *ch_http01_lookup(struct cs_store *store, const char *token, int64_t now_ms)
{
    if (!token_ok(token))
        return NULL;
    char *probe = ch_probe_answer(store, token);
    if (probe)
        return probe;
    /* More than one document can name a token (an old order's, not emptied yet): the live one
     * counts. */
    struct found found = {.token = token};
    while (found.skip < CS_LEAVES_MAX) {
        found.seen = 0;
        if (cs_each(store, CS_BY_TOKEN, token, NULL, NULL, on_token, &found) != 1)
            return NULL;
        CM_AUTO_JSON body = cs_peek_body(store, found.id);
        char *answer = live_answer(body, token, now_ms);
        if (answer)
            return answer;
        found.skip++;
    }
    return NULL;
}

void ch_http01_handle(void *arg, struct http_exchange *ex)
{
    static const char unknown[] = CH_NO_TOKEN;
    struct cs_store *store = arg;
    const struct http_head *head = &http_ex_request(ex)->head;
    if (head->method != HTTP_GET && head->method != HTTP_HEAD) {
        http_ex_header(ex, "Allow", "GET, HEAD");
        http_ex_reply(ex, 405, "text/plain", NULL, 0);
        return;
    }
    CM_AUTO_STR answer = NULL;
    if (strncmp(head->path, CH_PATH, sizeof(CH_PATH) - 1) == 0)
        answer = ch_http01_lookup(store, head->path + sizeof(CH_PATH) - 1, cm_now_ms());
    http_ex_header(ex, "Cache-Control", "no-store");
    if (answer)
        http_ex_reply(ex, 200, "application/octet-stream", answer, strlen(answer));
    else
        http_ex_reply(ex, 404, "text/plain", unknown, sizeof(unknown) - 1);
}

void ch_http01_opts(struct http_listen_opts *opts, struct cs_store *store)
{
    opts->handler = ch_http01_handle;
    opts->arg = store;
    opts->conns_per_addr = CH_CONNS_PER_ADDR;
}
