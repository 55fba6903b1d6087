/*
 * Which certificate answers a server name: live tokens of `challenge:` documents, by host.
 *
 * The list of documents that hold such tokens follows the store's changes, so that a name nobody
 * asked a certificate for costs no look into the store.
 */
#include "certmgr/challenge/tlsalpn.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/log.h"
#include "base/core/mem.h"

#define TYPE     "tls-alpn-01"
#define DOCUMENT "challenge:"

struct kept {
    char *host, *token;
    struct tls_alpn_cert *cert;
};

struct ch_tlsalpn {
    struct cs_store *store;
    json_t *live; /* {document: true} with tokens of this kind */
    struct kept kept[CH_ALPN_CERTS];
    size_t next, made;
};

/* ---- documents ------------------------------------------------------------------------------ */

static bool is_ours(const json_t *entry)
{
    return strcmp(cm_json_str_or(entry, "type", ""), TYPE) == 0;
}

static void look_at(struct ch_tlsalpn *answers, const char *id)
{
    CM_AUTO_JSON body = cs_peek_body(answers->store, id);
    size_t i;
    json_t *entry;
    json_array_foreach(cm_json_arr(body, "tokens"), i, entry)
    {
        if (is_ours(entry)) {
            json_object_set_new(answers->live, id, json_true());
            return;
        }
    }
    json_object_del(answers->live, id);
}

static void on_change(void *arg, const char *id)
{
    if (strncmp(id, DOCUMENT, sizeof(DOCUMENT) - 1) == 0)
        look_at(arg, id);
}

static int on_document(void *arg, const char *key, const char *id)
{
    (void)key;
    if (strncmp(id, DOCUMENT, sizeof(DOCUMENT) - 1) == 0)
        look_at(arg, id);
    return 0;
}

struct ch_tlsalpn *ch_tlsalpn_new(struct cs_store *store)
{
    struct ch_tlsalpn *answers = cm_calloc(1, sizeof(*answers));
    answers->store = store;
    answers->live = json_object();
    cs_each(store, CS_BY_TYPE, "challenge", NULL, NULL, on_document, answers);
    cs_listen(store, on_change, answers);
    return answers;
}

static void drop(struct kept *kept)
{
    cm_free(kept->host);
    cm_free(kept->token);
    tls_alpn_cert_free(kept->cert);
    *kept = (struct kept){0};
}

void ch_tlsalpn_free(struct ch_tlsalpn *answers)
{
    if (!answers)
        return;
    cs_unlisten(answers->store, answers);
    for (size_t i = 0; i < CH_ALPN_CERTS; i++)
        drop(&answers->kept[i]);
    json_decref(answers->live);
    cm_free(answers);
}

size_t ch_tlsalpn_made(const struct ch_tlsalpn *answers)
{
    return answers->made;
}

/* ---- certificates --------------------------------------------------------------------------- */

static const struct tls_alpn_cert *cert_for(struct ch_tlsalpn *answers, const json_t *entry)
{
    const char *host = cm_json_str_or(entry, "host", "");
    const char *token = cm_json_str_or(entry, "token", "");
    const char *answer = cm_json_str_or(entry, "key_authorization", "");
    struct cm_err err = CM_ERR_INIT;
    uint8_t digest[CM_SHA256_SIZE];
    for (size_t i = 0; i < CH_ALPN_CERTS; i++) {
        const struct kept *kept = &answers->kept[i];
        if (kept->cert && strcmp(kept->host, host) == 0 && strcmp(kept->token, token) == 0)
            return kept->cert;
    }
    struct tls_alpn_cert *cert = NULL;
    cm_sha256(answer, strlen(answer), digest);
    if (tls_alpn_cert_new(host, digest, &cert, &err) < 0) {
        cm_log_err(CM_LOG_WARN, "challenge", &err);
        cm_err_fini(&err);
        return NULL;
    }
    struct kept *place = &answers->kept[answers->next++ % CH_ALPN_CERTS];
    drop(place);
    *place = (struct kept){.host = cm_strdup(host), .token = cm_strdup(token), .cert = cert};
    answers->made++;
    return cert;
}

/* Does a client that sends this server name ask for that host or address? */
static bool asks_for(const char *sni, const char *host)
{
    char own[TLS_ALPN_SNI_MAX];
    tls_alpn_sni(host, own);
    return own[0] && strcasecmp(own, sni) == 0;
}

const struct tls_alpn_cert *ch_tlsalpn_find(void *arg, const char *sni)
{
    struct ch_tlsalpn *answers = arg;
    CM_AUTO_JSON best = NULL;
    int64_t now = cm_now_ms(), best_expires = 0;
    const char *id;
    json_t *mark, *entry;
    size_t i;
    json_object_foreach(answers->live, id, mark)
    {
        CM_AUTO_JSON body = cs_peek_body(answers->store, id);
        json_array_foreach(cm_json_arr(body, "tokens"), i, entry)
        {
            /* Without a readable expiry a token counts as expired: never shown too long. */
            int64_t expires = cm_json_time(entry, "expires_at", 0);
            if (!is_ours(entry) || expires <= now || (best && expires >= best_expires) ||
                !asks_for(sni, cm_json_str_or(entry, "host", "")))
                continue;
            json_decref(best);
            best = json_incref(entry);
            best_expires = expires;
        }
    }
    return best ? cert_for(answers, best) : NULL;
}
