/* Settings of a hub.  See hub_settings.h. */
#include "certmgr/hub_settings.h"

#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/net/url.h"
#include "certmgr/hub_cert.h"
#include "keyfile/cert.h"

static int check_url(const char *text, bool lab, struct cm_err *err)
{
    struct url url;
    if (strlen(text) >= HUB_URL_MAX || url_parse(text, &url, NULL) < 0)
        return cm_fail(err, CM_EINVAL, "url: not an https:// URL");
    if (!url.https && !(lab && strncmp(url.host, "127.", 4) == 0))
        return cm_fail(err, CM_EINVAL, "url: a hub is reached by https:// only");
    size_t len = strlen(url.path);
    if (len < 2 || url.path[len - 1] == '/' || strchr(url.path, '?'))
        return cm_fail(err, CM_EINVAL,
                       "url: it must end in the database's name, as in "
                       "https://hub.example:6984/certstore");
    return 0;
}

static int check_user(const char *user, const char *password, struct cm_err *err)
{
    if (!user != !password)
        return cm_fail(err, CM_EINVAL, "user: name and password belong together");
    if (!user)
        return 0;
    size_t len = strlen(user);
    if (len == 0 || len > HUB_USER_MAX || strchr(user, ':'))
        return cm_fail(err, CM_EINVAL, "user: 1 to %d bytes, no colon (RFC 7617)", HUB_USER_MAX);
    if (strlen(password) == 0 || strlen(password) > HUB_SECRET_MAX || strpbrk(user, "\r\n") ||
        strpbrk(password, "\r\n"))
        return cm_fail(err, CM_EINVAL, "password: one line, not empty");
    return 0;
}

static int check_pem(const char *name, const char *pem, const char *head, size_t max,
                     struct cm_err *err)
{
    if (pem && (strlen(pem) > max || !strstr(pem, head)))
        return cm_fail(err, CM_EINVAL, "%s: not PEM text with \"%s\" of at most %zu bytes", name,
                       head, max);
    return 0;
}

static int check_cert(const char *pem, struct cm_err *err)
{
    struct kf_cert_info info = {0};
    if (kf_cert_info(pem, &info, NULL) != 0)
        return cm_fail(err, CM_EINVAL, "cert_pem: the certificate cannot be read");
    kf_cert_info_fini(&info);
    return 0;
}

/* ---- the secret: "PASSWORD", "KEY" or "PASSWORD\nKEY" (a password has one line) ------------ */

#define PASSWORD "password"
#define KEY      "key"
#define BOTH     "password and key"

static int join_secret(const char *password, const char *key, char **ret, struct cm_err *err)
{
    if (password && key && strlen(password) + 1 + strlen(key) > HUB_SECRET_MAX)
        return cm_fail(err, CM_EINVAL, "key_pem: key and password have more than %u bytes together",
                       HUB_SECRET_MAX);
    *ret = password && key ? cm_asprintf("%s\n%s", password, key)
           : key           ? cm_strdup(key)
           : password      ? cm_strdup(password)
                           : NULL;
    return 0;
}

static char *basic_of(const char *user, const char *password)
{
    char *plain = cm_asprintf("%s:%s", user, password);
    char *base64 = cm_b64(plain, strlen(plain));
    char *value = cm_asprintf("Basic %s", base64);
    cm_free_secret(plain, strlen(plain));
    cm_free_secret(base64, strlen(base64));
    return value;
}

void hub_login(const json_t *doc, const char *secret, struct hub_login *ret)
{
    const char *kind = cm_json_str_or(doc, "secret", "none");
    bool both = strcmp(kind, BOTH) == 0;
    const char *user = cm_json_str_or(doc, "user", "");
    const char *line_end = both ? strchr(secret, '\n') : NULL;
    *ret = (struct hub_login){0};
    if (line_end) {
        char *password = cm_strndup(secret, (size_t)(line_end - secret));
        ret->authorization = basic_of(user, password);
        ret->key_pem = cm_strdup(line_end + 1);
        cm_free_secret(password, strlen(password));
    } else if (strcmp(kind, PASSWORD) == 0) {
        ret->authorization = basic_of(user, secret);
    } else if (strcmp(kind, KEY) == 0) {
        ret->key_pem = cm_strdup(secret);
    }
}

void hub_login_fini(struct hub_login *login)
{
    if (login->authorization)
        cm_free_secret(login->authorization, strlen(login->authorization));
    if (login->key_pem)
        cm_free_secret(login->key_pem, strlen(login->key_pem));
    *login = (struct hub_login){0};
}

/* ---- settings ---------------------------------------------------------------------------------
 */

int hub_settings_check(const json_t *settings, bool lab, json_t **ret_doc, char **ret_secret,
                       struct cm_err *err)
{
    const char *url = cm_json_str_or(settings, "url", "");
    const char *user = cm_json_str(settings, "user");
    const char *password = cm_json_str(settings, "password");
    const char *cert = cm_json_str(settings, "cert_pem"), *key = cm_json_str(settings, "key_pem");
    const char *ca = cm_json_str(settings, "ca_pem");
    *ret_doc = NULL;
    *ret_secret = NULL;
    int rc = check_url(url, lab, err);
    if (rc == 0)
        rc = check_user(user, password, err);
    if (rc == 0 && !cert != !key)
        rc = cm_fail(err, CM_EINVAL, "cert_pem: certificate and key belong together");
    if (rc == 0)
        rc = check_pem("cert_pem", cert, "BEGIN CERTIFICATE", HUB_PEM_MAX, err);
    if (rc == 0 && cert)
        rc = check_cert(cert, err);
    if (rc == 0)
        rc = check_pem("key_pem", key, "PRIVATE KEY", HUB_SECRET_MAX, err);
    if (rc == 0)
        rc = check_pem("ca_pem", ca, "BEGIN CERTIFICATE", HUB_PEM_MAX, err);
    if (rc == 0)
        rc = join_secret(password, key, ret_secret, err);
    if (rc < 0)
        return rc;
    *ret_doc = json_object();
    cm_json_set_str(*ret_doc, "url", url);
    cm_json_set_str(*ret_doc, "user", user);
    cm_json_set_str(*ret_doc, "cert_pem", cert);
    cm_json_set_str(*ret_doc, "ca_pem", ca);
    cm_json_set_str(*ret_doc, "secret",
                    key && password ? BOTH
                    : key           ? KEY
                    : password      ? PASSWORD
                                    : "none");
    return 0;
}

json_t *hub_settings_view(const json_t *doc)
{
    const char *secret = cm_json_str_or(doc, "secret", "none");
    json_t *view = json_object();
    cm_json_set_str(view, "kind", "hub");
    cm_json_set_str(view, "url", cm_json_str(doc, "url"));
    cm_json_set_str(view, "user", cm_json_str(doc, "user"));
    cm_json_set_str(view, "authentication",
                    strcmp(secret, KEY) == 0    ? "client certificate"
                    : strcmp(secret, BOTH) == 0 ? "password and client certificate"
                                                : secret);
    cm_json_set_bool(view, "own_ca", cm_json_str(doc, "ca_pem") != NULL);
    hub_cert_show(doc, cm_now_ms(), view);
    return view;
}
