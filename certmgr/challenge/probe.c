/* See probe.h.  The fleet is known by its manager's public signing key. */
#include "certmgr/challenge/probe.h"

#include <stdio.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/json.h"
#include "base/core/mem.h"

#define RANDOM_BYTES 16 /* 22 characters */

void ch_probe_token(char out[CH_PROBE_TOKEN])
{
    uint8_t random[RANDOM_BYTES];
    cm_random(random, sizeof(random));
    CM_AUTO_STR text = cm_b64url(random, sizeof(random));
    snprintf(out, CH_PROBE_TOKEN, CH_PROBE "%s", text);
}

char *ch_probe_answer(struct cs_store *store, const char *token)
{
    if (strncmp(token, CH_PROBE, strlen(CH_PROBE)) != 0 || strlen(token) != CH_PROBE_TOKEN - 1)
        return NULL;
    CM_AUTO_JSON root = cs_get_body(store, "trust:root");
    const char *fleet = "";
    size_t i;
    json_t *server;
    json_array_foreach(cm_json_arr(root, "servers"), i, server)
    {
        if (!*fleet && cm_json_has_str(cm_json_arr(server, "roles"), "manager"))
            fleet = cm_json_str_or(server, "sign", "");
    }
    uint8_t digest[CM_SHA256_SIZE];
    CM_AUTO_STR text = cm_asprintf("certmgr probe\n%s\n%s", fleet, token);
    cm_sha256(text, strlen(text), digest);
    CM_AUTO_STR hash = cm_b64url(digest, sizeof(digest));
    return cm_asprintf("%s.%s", token, hash);
}
