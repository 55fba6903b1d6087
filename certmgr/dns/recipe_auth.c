/*
 * How requests prove who asks: fixed headers, query or body members, basic, or a token that a first
 * request fetches (login, JWT bearer of RFC 7523, client credentials of RFC 6749 4.4).
 */
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/mem.h"
#include "base/core/num.h"
#include "certmgr/dns/recipe.h"

#define JWT_LIFE_S   3600
#define LIFE_EARLY_S 60 /* a token is not used in its last minute */
#define LIFE_MAX_S   86400

static const json_t *auth_of(const json_t *recipe)
{
    return cm_json_obj(recipe, "auth");
}

static bool is_kind(const json_t *recipe, const char *kind)
{
    return strcmp(cm_json_str_or(auth_of(recipe), "kind", ""), kind) == 0;
}

bool rcp_needs_login(const json_t *recipe)
{
    return is_kind(recipe, "login") || is_kind(recipe, "jwt-bearer") ||
           is_kind(recipe, "oauth2-client");
}

void rcp_auth_parts(const json_t *recipe, const json_t **headers, const json_t **query,
                    const json_t **body)
{
    const json_t *auth = auth_of(recipe), *set = cm_json_obj(auth, "set");
    *headers = is_kind(recipe, "headers") || is_kind(recipe, "login") ? set : NULL;
    *query = is_kind(recipe, "query") ? set : cm_json_obj(auth, "query");
    *body = is_kind(recipe, "body") ? set : cm_json_obj(auth, "body");
}

/* Bearer token of the two OAuth kinds, or user and password. */
int rcp_auth_line(const struct rcp_vars *vars, char **ret, struct cm_err *err)
{
    const json_t *auth = auth_of(vars->recipe);
    struct cm_buf text;
    int rc = 0;
    *ret = NULL;
    cm_buf_init(&text, RCP_TEMPLATE_MAX * 4);
    if (is_kind(vars->recipe, "basic")) {
        rc = rcp_text(&text, cm_json_str_or(auth, "user", ""), vars, RCP_HEADER, false, err);
        if (rc == 0)
            rc = cm_buf_putc(&text, ':');
        if (rc == 0)
            rc =
                rcp_text(&text, cm_json_str_or(auth, "password", ""), vars, RCP_HEADER, false, err);
        if (rc == 0) {
            char *base64 = cm_b64(text.data, text.len);
            *ret = cm_asprintf("Authorization: Basic %s", base64);
            cm_free_secret(base64, strlen(base64));
        }
    } else if (rcp_needs_login(vars->recipe) && !is_kind(vars->recipe, "login")) {
        rc = rcp_text(&text, "Authorization: Bearer {{login.token}}", vars, RCP_HEADER, false, err);
        if (rc == 0)
            *ret = cm_buf_take(&text, NULL);
    }
    rcp_buf_wipe(&text);
    return rc == RCP_UNSET ? 0 : rc; /* a user that was not asked for: no line */
}

/* ---- fetching a token ---------------------------------------------------------------------- */

static int claims(const struct rcp_vars *vars, int64_t now_ms, struct cm_buf *out,
                  struct cm_err *err)
{
    const json_t *auth = auth_of(vars->recipe);
    const char *iss = cm_json_str(auth, "issuer"), *sub = cm_json_str(auth, "subject");
    const char *aud = cm_json_str_or(auth, "audience", cm_json_str(auth, "url"));
    json_t *form =
        json_pack("{s:s*, s:s*, s:s*, s:s*, s:I, s:I}", "iss", iss, "sub", sub, "scope",
                  cm_json_str(auth, "scope"), "aud", aud, "iat", (json_int_t)(now_ms / 1000), "exp",
                  (json_int_t)(now_ms / 1000 + JWT_LIFE_S));
    int rc = rcp_json(out, form, NULL, vars, false, err);
    json_decref(form);
    return rc;
}

/* header.claims.signature (RFC 7515 3.1) */
static int make_jwt(const struct rcp_vars *vars, rcp_sign_fn sign, int64_t now_ms, char **ret,
                    struct cm_err *err)
{
    static const char head[] = "{\"alg\":\"RS256\",\"typ\":\"JWT\"}";
    struct cm_buf body, key;
    char *signature = NULL;
    cm_buf_init(&body, RCP_BODY_MAX);
    cm_buf_init(&key, RCP_BODY_MAX);
    int rc = claims(vars, now_ms, &body, err);
    if (rc == 0)
        rc = rcp_text(&key, cm_json_str_or(auth_of(vars->recipe), "key", ""), vars, RCP_TEXT, false,
                      err);
    if (rc == RCP_UNSET)
        rc = cm_fail(err, CM_EINVAL, "the key for the token is missing");
    if (rc == 0) {
        CM_AUTO_STR a = cm_b64url(head, sizeof(head) - 1);
        CM_AUTO_STR b = cm_b64url(body.data, body.len);
        CM_AUTO_STR text = cm_asprintf("%s.%s", a, b);
        rc = sign(cm_buf_str(&key), text, &signature, err);
        if (rc == 0)
            *ret = cm_asprintf("%s.%s", text, signature);
    }
    cm_free(signature);
    rcp_buf_wipe(&key);
    cm_buf_fini(&body);
    return rc;
}

static json_t *jwt_step(const struct rcp_vars *vars, rcp_sign_fn sign, int64_t now_ms,
                        struct cm_err *err)
{
    char *jwt = NULL;
    if (make_jwt(vars, sign, now_ms, &jwt, err) < 0)
        return NULL;
    /* As a login value it is masked wherever it is shown. */
    json_object_set_new(vars->values, "login", json_pack("{s:s}", "assertion", jwt));
    cm_free_secret(jwt, strlen(jwt));
    return json_pack("{s:s, s:{s:s, s:s}}", "post", cm_json_str(auth_of(vars->recipe), "url"),
                     "form", "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer",
                     "assertion", "{{login.assertion}}");
}

static json_t *client_step(const json_t *auth)
{
    return json_pack("{s:s, s:{s:s, s:s, s:s, s:s*, s:s*}}", "post", cm_json_str(auth, "url"),
                     "form", "grant_type", "client_credentials", "client_id",
                     cm_json_str(auth, "client_id"), "client_secret",
                     cm_json_str(auth, "client_secret"), "scope", cm_json_str(auth, "scope"),
                     "audience", cm_json_str(auth, "audience"));
}

json_t *rcp_login_step(const struct rcp_vars *vars, rcp_sign_fn sign, int64_t now_ms,
                       struct cm_err *err)
{
    const json_t *auth = auth_of(vars->recipe);
    if (is_kind(vars->recipe, "login"))
        return json_incref(cm_json_obj(auth, "login"));
    if (is_kind(vars->recipe, "jwt-bearer"))
        return jwt_step(vars, sign, now_ms, err);
    return client_step(auth);
}

int rcp_login_take(struct rcp_vars *vars, const json_t *doc, int64_t *ret_life_ms,
                   struct cm_err *err)
{
    const json_t *auth = auth_of(vars->recipe);
    const json_t *save = cm_json_obj(cm_json_obj(auth, "login"), "save");
    const char *life_pointer = cm_json_str_or(auth, "lifetime", save ? NULL : "/expires_in");
    json_t *usual = json_pack("{s:s}", "token", "/access_token"), *login = json_object();
    rcp_save(save ? save : usual, doc, login);
    size_t want = json_object_size(save ? save : usual);
    json_decref(usual);
    json_object_set_new(vars->values, "login", login);
    if (json_object_size(login) != want)
        return cm_fail(err, CM_EPEER, "login: the provider's reply holds no token");
    int64_t life = cm_json_int(auth, "lifetime_s", 0);
    const json_t *told = life_pointer ? rcp_pointer(doc, life_pointer) : NULL;
    if (json_is_integer(told))
        life = (int64_t)json_integer_value(told);
    if (json_is_string(told)) /* some write the number as text */
        (void)cm_num_i64(json_string_value(told), 0, LIFE_MAX_S, &life);
    if (life > LIFE_MAX_S)
        life = LIFE_MAX_S;
    *ret_life_ms =
        cm_json_obj(auth, "logout") || life <= LIFE_EARLY_S ? 0 : (life - LIFE_EARLY_S) * 1000;
    return 0;
}
