/* Sections of the credential's page.  See credential_parts.h. */
#include "web-ui/pages/credential_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/core/clock.h"
#include "base/core/mem.h"
#include "base/net/hostname.h"
#include "web-ui/html.h"
#include "web-ui/widget.h"

#define FINGERPRINT_SHOWN                                                                          \
    16 /* hex digits in tables; the whole one stands in the certificate card */

void part_begin(struct cm_buf *page, const char *id, const char *title)
{
    html_open(page, "section", "class", "card", "aria-labelledby", id, NULL);
    html_leaf(page, "h2", title, "id", id, NULL);
}

static void name_row(struct cm_buf *page, const char *typed, const char *ascii)
{
    char unicode[HOSTNAME_MAX * 4];

    hostname_to_unicode(ascii, unicode, sizeof(unicode));
    html_raw(page, "<tr><th scope=\"row\">");
    html_leaf(page, "bdi", typed, NULL);
    html_raw(page, "</th><td>");
    html_leaf(page, "code", ascii, NULL);
    html_raw(page, "</td><td>");
    html_leaf(page, "bdi", unicode, NULL);
    html_raw(page, "</td></tr>");
}

static void name_rows(struct cm_buf *page, const json_t *typed)
{
    size_t i;
    json_t *name;

    json_array_foreach(typed, i, name)
    {
        const char *text = json_string_value(name);
        char ascii[HOSTNAME_MAX];
        enum hostname_kind kind;

        if (text && hostname_to_ascii(text, ascii, &kind, NULL) == 0)
            name_row(page, text, ascii);
        else if (text)
            name_row(page, text, "");
    }
}

void part_host_names(struct web_ctx *ctx, struct cm_buf *page, const json_t *fields)
{
    const json_t *typed = cm_json_arr(fields, "host_names");
    const json_t *ascii = cm_json_arr(fields, "host_names_ascii");

    part_begin(page, "names-title", web_msg(ctx, MSG_F_NAMES));
    web_table_frame(page, web_msg(ctx, MSG_F_NAMES));
    html_raw(page, "<table><thead><tr>");
    html_leaf(page, "th", web_msg(ctx, MSG_N_TYPED), "scope", "col", NULL);
    html_leaf(page, "th", web_msg(ctx, MSG_N_ASCII), "scope", "col", NULL);
    html_leaf(page, "th", web_msg(ctx, MSG_N_UNICODE), "scope", "col", NULL);
    html_raw(page, "</tr></thead><tbody>");
    name_rows(page, json_array_size(typed) ? typed : ascii);
    html_raw(page, "</tbody></table></div></section>");
}

static void fact(struct web_ctx *ctx, struct cm_buf *page, enum web_msg label, const char *value)
{
    if (!value || !*value)
        return;
    html_leaf(page, "dt", web_msg(ctx, label), NULL);
    html_leaf(page, "dd", value, NULL);
}

static void fact_time(struct web_ctx *ctx, struct cm_buf *page, enum web_msg label,
                      const char *value)
{
    if (!value)
        return;
    html_leaf(page, "dt", web_msg(ctx, label), NULL);
    html_raw(page, "<dd>");
    web_time(ctx, page, value);
    html_raw(page, "</dd>");
}

static const char *provider_word(const struct web_ctx *ctx, const char *provider)
{
    if (provider && strcmp(provider, "manual") == 0)
        return web_msg(ctx, MSG_F_MANUAL);
    if (provider && strcmp(provider, "import") == 0)
        return web_msg(ctx, MSG_F_IMPORT);
    return provider && strcmp(provider, "acme") == 0 ? "ACME" : provider;
}

void part_facts(struct web_ctx *ctx, struct cm_buf *page, const json_t *fields,
                const json_t *request)
{
    char days[24];
    const char *by = cm_json_str(fields, "requested_by");
    const char *at = cm_json_str(fields, "requested_at");

    if (!by)
        by = cm_json_str(cm_json_obj(request, "by"), "who");
    snprintf(days, sizeof(days), "%" PRId64, cm_json_int(fields, "renew_days", 0));
    part_begin(page, "facts-title", web_msg(ctx, MSG_D_FACTS));
    html_raw(page, "<dl class=\"facts\">");
    fact(ctx, page, MSG_F_PROVIDER, provider_word(ctx, cm_json_str(fields, "provider")));
    fact(ctx, page, MSG_F_ACCOUNT, cm_json_str(fields, "account"));
    fact(ctx, page, MSG_F_KEY_TYPE, cm_json_str(fields, "key_type"));
    fact(ctx, page, MSG_F_EXPORTABLE,
         cm_json_bool(fields, "exportable", false) ? web_msg(ctx, MSG_YES) : NULL);
    fact(ctx, page, MSG_F_CHALLENGE, cm_json_str(fields, "challenge"));
    fact(ctx, page, MSG_F_PROFILE, cm_json_str(fields, "profile"));
    fact(ctx, page, MSG_F_CHAIN, cm_json_str(fields, "alternate_chain"));
    fact(ctx, page, MSG_F_KEYRING, cm_json_str(fields, "keyring_file"));
    fact(ctx, page, MSG_F_TARGET, cm_json_str(fields, "target"));
    fact(ctx, page, MSG_F_RENEW, strcmp(days, "0") == 0 ? NULL : days);
    fact_time(ctx, page, MSG_D_NEXT_ACTION, cm_json_str(fields, "next_action_at"));
    fact(ctx, page, MSG_D_REQUESTED_BY, by);
    fact_time(ctx, page, MSG_D_REQUESTED_AT, at ? at : cm_json_str(request, "at"));
    html_leaf(page, "dt", web_msg(ctx, MSG_D_ID), NULL);
    html_raw(page, "<dd>");
    html_leaf(page, "code", ctx->param, NULL);
    html_raw(page, "</dd></dl></section>");
}

/* ---- servers with access ---- */

static const char *const stages[] = {"replicated", "opened", "deployed", "reloaded", "served"};
#define STAGES (sizeof(stages) / sizeof(stages[0]))

const json_t *part_receipt_of(const json_t *receipts, const char *server)
{
    size_t i;
    json_t *receipt;

    json_array_foreach(receipts, i, receipt)
    {
        if (strcmp(cm_json_str_or(receipt, "server", ""), server) == 0)
            return receipt;
    }
    return NULL;
}

static size_t stage_of(const char *state)
{
    for (size_t i = 0; i < STAGES; i++) {
        if (strcmp(stages[i], state) == 0)
            return i + 1;
    }
    return 0;
}

bool part_receipt_final(const json_t *receipt, const char *fingerprint)
{
    const char *state = cm_json_str_or(receipt, "state", "");

    if (strcmp(state, "failed") == 0)
        return true;
    return stage_of(state) >= stage_of("deployed") &&
           strcmp(cm_json_str_or(receipt, "fingerprint", ""), fingerprint ? fingerprint : "") == 0;
}

/* Five small bars, the last reached one tells how far the keyring has come. */
static void track(struct cm_buf *page, size_t reached)
{
    html_raw(page, "<span class=\"track\" aria-hidden=\"true\">");
    for (size_t i = 0; i < STAGES; i++)
        html_raw(page, i < reached ? "<i class=\"on\"></i>" : "<i></i>");
    html_raw(page, "</span>");
}

static void short_fingerprint(struct cm_buf *page, const char *fingerprint)
{
    CM_AUTO_STR text = fingerprint ? cm_strndup(fingerprint, FINGERPRINT_SHOWN) : NULL;

    if (text)
        html_leaf(page, "code", text, "title", fingerprint, NULL);
    else
        html_raw(page, "–");
}

static void server_row(struct web_ctx *ctx, struct cm_buf *page, const char *server,
                       const json_t *receipt, const char *fingerprint)
{
    const char *state = cm_json_str_or(receipt, "state", "none");
    const char *held = cm_json_str(receipt, "fingerprint");
    const json_t *error = cm_json_obj(receipt, "error");

    html_raw(page, "<tr>");
    html_leaf(page, "th", server, "scope", "row", NULL);
    html_raw(page, "<td>");
    web_receipt_badge(ctx, page, state);
    track(page, stage_of(state));
    if (held && fingerprint && strcmp(held, fingerprint) != 0)
        html_leaf(page, "p", web_msg(ctx, MSG_R_OLD), "class", "hint", NULL);
    html_raw(page, "</td><td>");
    short_fingerprint(page, held);
    html_raw(page, "</td><td>");
    web_time(ctx, page, cm_json_str(receipt, "at"));
    html_raw(page, "</td></tr>");
    if (error) {
        html_raw(page, "<tr class=\"detail\"><td colspan=\"4\">");
        web_error_object(ctx, page, error);
        html_raw(page, "</td></tr>");
    }
}

void part_servers(struct web_ctx *ctx, struct cm_buf *page, const json_t *fields,
                  const json_t *receipts)
{
    static const enum web_msg columns[] = {MSG_C_SERVER, MSG_R_STATE, MSG_X_FINGERPRINT,
                                           MSG_R_TIME};
    const char *fingerprint = cm_json_str(fields, "fingerprint");
    size_t i;
    json_t *server;

    part_begin(page, "servers-title", web_msg(ctx, MSG_F_SERVERS));
    web_table_frame(page, web_msg(ctx, MSG_F_SERVERS));
    html_raw(page, "<table><thead><tr>");
    for (i = 0; i < sizeof(columns) / sizeof(columns[0]); i++)
        html_leaf(page, "th", web_msg(ctx, columns[i]), "scope", "col", NULL);
    html_raw(page, "</tr></thead><tbody>");
    json_array_foreach(cm_json_arr(fields, "servers"), i, server)
    {
        const char *name = json_string_value(server);

        if (name)
            server_row(ctx, page, name, part_receipt_of(receipts, name), fingerprint);
    }
    html_raw(page, "</tbody></table></div></section>");
}

/* ---- certificate ---- */

static void alternative_names(struct cm_buf *page, const json_t *credential)
{
    const json_t *san = cm_json_arr(credential, "san");
    const json_t *unicode = cm_json_arr(credential, "san_unicode");
    size_t i;
    json_t *name;

    html_raw(page, "<ul class=\"plain\">");
    json_array_foreach(san, i, name)
    {
        const char *ascii = json_string_value(name);
        const char *shown = json_string_value(json_array_get(unicode, i));

        html_raw(page, "<li>");
        html_leaf(page, "code", ascii, NULL);
        if (shown && ascii && strcmp(shown, ascii) != 0) {
            html_raw(page, " ");
            html_leaf(page, "bdi", shown, NULL);
        }
        html_raw(page, "</li>");
    }
    html_raw(page, "</ul>");
}

/* RFC 9773: the CA's window and its reason.  A link only when it is one. */
static void proposal(struct web_ctx *ctx, struct cm_buf *page, const json_t *ari)
{
    const char *url = cm_json_str(ari, "explanation_url");

    if (!cm_json_str(ari, "window_start"))
        return;
    html_leaf(page, "dt", web_msg(ctx, MSG_X_ARI), NULL);
    html_raw(page, "<dd>");
    web_time(ctx, page, cm_json_str(ari, "window_start"));
    html_raw(page, " – ");
    web_time(ctx, page, cm_json_str(ari, "window_end"));
    html_raw(page, "</dd>");
    if (!url || strncmp(url, "https://", 8) != 0)
        return;
    html_leaf(page, "dt", web_msg(ctx, MSG_X_ARI_WHY), NULL);
    html_raw(page, "<dd>");
    html_leaf(page, "a", url, "href", url, "rel", "noreferrer", NULL);
    html_raw(page, "</dd>");
}

/* From when on servers serve it (certmgr/engine/activation.h). */
static void in_force(struct web_ctx *ctx, struct cm_buf *page, const json_t *activation)
{
    static const struct {
        const char *by;
        enum web_msg why;
    } words[] = {{"delay", MSG_X_FORCE_DELAY},
                 {"ocsp", MSG_X_FORCE_OCSP},
                 {"not_before", MSG_X_FORCE_BEGIN},
                 {"good", MSG_X_FORCE_GOOD},
                 {"limit", MSG_X_FORCE_LIMIT}};
    const char *by = cm_json_str_or(activation, "by", "");

    if (!*by)
        return;
    html_leaf(page, "dt", web_msg(ctx, MSG_X_FORCE), NULL);
    html_raw(page, "<dd>");
    web_time(ctx, page, cm_json_str(activation, "from"));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(words[i].by, by) == 0)
            html_leaf(page, "p", web_msg(ctx, words[i].why), "class", "hint", NULL);
    if (cm_json_time(activation, "from", 0) > cm_now_ms())
        html_leaf(page, "p", web_msg(ctx, MSG_X_FORCE_TILL), "class", "hint", NULL);
    html_raw(page, "</dd>");
}

void part_certificate(struct web_ctx *ctx, struct cm_buf *page, const json_t *credential)
{
    const char *fingerprint = cm_json_str(credential, "fingerprint");
    char generation[24];

    if (!fingerprint)
        return;
    snprintf(generation, sizeof(generation), "%" PRId64,
             cm_json_int(credential, "key_generation", 0));
    part_begin(page, "cert-title", web_msg(ctx, MSG_X_TITLE));
    html_raw(page, "<dl class=\"facts\">");
    fact(ctx, page, MSG_X_ISSUER, cm_json_str(credential, "issuer"));
    fact_time(ctx, page, MSG_X_NOT_BEFORE, cm_json_str(credential, "not_before"));
    fact_time(ctx, page, MSG_X_NOT_AFTER, cm_json_str(credential, "not_after"));
    in_force(ctx, page, cm_json_obj(credential, "activation"));
    proposal(ctx, page, cm_json_obj(credential, "ari"));
    html_leaf(page, "dt", web_msg(ctx, MSG_X_SAN), NULL);
    html_raw(page, "<dd>");
    alternative_names(page, credential);
    html_raw(page, "</dd>");
    html_leaf(page, "dt", web_msg(ctx, MSG_X_FINGERPRINT), NULL);
    html_raw(page, "<dd>");
    html_leaf(page, "code", fingerprint, "class", "long", NULL);
    html_raw(page, "</dd>");
    fact(ctx, page, MSG_X_GENERATION, generation);
    html_raw(page, "</dl></section>");
}
