/*
 * Settings of a hub (any CouchDB 3.x in place of the manager as upstream): checked as typed, and as
 * kept in the local table.  The secret, a password or a private key, is kept apart from the
 * rest and sealed by the key agent.
 */
#pragma once

#include "base/core/err.h"

#define HUB_URL_MAX    1024
#define HUB_USER_MAX   255
#define HUB_SECRET_MAX (32u << 10) /* what secret.seal takes */
#define HUB_PEM_MAX    (48u << 10)

/* Checks {url, user?, password?, cert_pem?, key_pem?, ca_pem?}.  A proxy before the hub may want a
 * certificate where the hub wants a password: both may be given.  lab: plain http to 127.* is
 * allowed.  *ret_doc (owned): what is kept, without the secret: {url, user?, cert_pem?, ca_pem?,
 * secret: "password"|"key"|"password and key"|"none"}.  *ret_secret: cm_free_secret(), NULL = none.
 * CM_EINVAL with "field: message". */
int hub_settings_check(const json_t *settings, bool lab, json_t **ret_doc, char **ret_secret,
                       struct cm_err *err);

/* What the secret opens; both wiped by hub_login_fini(). */
struct hub_login {
    char *authorization; /* value of that header, or NULL */
    char *key_pem;       /* of cert_pem, or NULL */
};
/* doc: what is kept; secret: the text of hub_settings_check() ("" = none). */
void hub_login(const json_t *doc, const char *secret, struct hub_login *ret);
void hub_login_fini(struct hub_login *login);

/* What people may see: {kind, url, user, authentication, own_ca, cert_not_before?, cert_not_after?,
 * cert_health?} (owned). */
json_t *hub_settings_view(const json_t *doc);
