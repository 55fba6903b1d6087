/* Recipients of sealed keys.  See recipients.h. */
#include "certmgr/engine/recipients.h"

#include "keyfile/envelope.h"
#include "keyfile/rewrap.h"

static const struct kf_server *server_of(const struct engine *engine, const json_t *name)
{
    const struct kf_trust *trust = engine->env.trust(engine->env.trust_arg);
    return json_is_string(name) ? kf_trust_server(trust, json_string_value(name)) : NULL;
}

static bool lists(const struct kf_envelope *envelope, const char *seal_b64)
{
    uint8_t ski[KF_SKI_SIZE];
    return seal_b64 && kf_seal_ski(seal_b64, ski, NULL) == 0 && kf_envelope_lists(envelope, ski);
}

enum opens { OPENS_NOT, OPENS, NO_ENVELOPE };

static enum opens opens(const struct kf_server *server, const char *sealed_key)
{
    struct kf_envelope envelope;
    uint8_t *der = NULL;
    if (kf_envelope_read(sealed_key, &der, &envelope, NULL) < 0)
        return NO_ENVELOPE;
    bool can = lists(&envelope, server->seal_b64) || lists(&envelope, server->old_seal_b64);
    cm_free(der);
    return can ? OPENS : OPENS_NOT;
}

bool eng_recipient(const struct kf_server *server, const char *sealed_key)
{
    return opens(server, sealed_key) != OPENS_NOT;
}

const struct kf_server *eng_recipient_wrong(const struct engine *engine, const json_t *servers,
                                            const char *sealed_key)
{
    for (size_t i = 0; sealed_key && i < json_array_size(servers); i++) {
        const struct kf_server *server = server_of(engine, json_array_get(servers, i));
        enum opens wrong = server && server->state == KF_REMOVED ? OPENS : OPENS_NOT;
        if (server && server->state != KF_RETIRING && opens(server, sealed_key) == wrong)
            return server;
    }
    return NULL;
}

json_t *eng_recipients(const struct engine *engine, const json_t *servers)
{
    json_t *left = json_array();
    for (size_t i = 0; i < json_array_size(servers); i++) {
        json_t *name = json_array_get(servers, i);
        const struct kf_server *server = server_of(engine, name);
        if (!server || server->state != KF_REMOVED)
            json_array_append(left, name);
    }
    if (json_array_size(left) > 0)
        return left;
    json_decref(left);
    return json_incref((json_t *)(uintptr_t)servers);
}
