/* What is done with an account at its CA: everything is taken. */
#include <string.h>

#include "certmgr/engine/engine.h"

#include "tests/unit/web/doubles.h"

int eng_account_act_parse(const char *word)
{
    static const struct {
        const char *word;
        enum eng_account_act act;
    } acts[] = {{"agree", ACCOUNT_AGREE},
                {"update", ACCOUNT_UPDATE},
                {"deactivate", ACCOUNT_DEACTIVATE},
                {"delete", ACCOUNT_DELETE}};

    for (size_t i = 0; word && i < sizeof(acts) / sizeof(acts[0]); i++) {
        if (strcmp(word, acts[i].word) == 0)
            return (int)acts[i].act;
    }
    return -1;
}

void eng_account_act(struct engine *engine, const char *name, enum eng_account_act act,
                     const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    doubles.base_serial = act;
    eng_retry(engine, name, actor, done, arg);
}

void eng_account_rebind(struct engine *engine, const char *name, const struct eng_binding *binding,
                        const struct eng_actor *actor, eng_done_fn done, void *arg)
{
    eng_retry(engine, name, actor, done, arg);
    json_decref(doubles.fields);
    doubles.fields = json_pack("{s:s?,s:s?,s:s?}", "eab_kid", binding->kid, "eab_hmac",
                               binding->hmac, "eab_alg", binding->alg);
}

void eng_account_import(struct engine *engine, const json_t *fields, const char *key,
                        const char *passphrase, const struct eng_actor *actor, eng_done_fn done,
                        void *arg)
{
    eng_retry(engine, cm_json_str_or(fields, "name", ""), actor, done, arg);
    json_decref(doubles.fields);
    doubles.fields =
        json_pack("{s:s?,s:s?,s:O}", "key", key, "passphrase", passphrase, "fields", fields);
}

void eng_import(struct engine *engine, const char *credential, const json_t *fields,
                const char *sealed, const struct eng_actor *actor, eng_submit_fn done, void *arg)
{
    (void)engine;
    (void)actor;
    json_decref(doubles.fields);
    doubles.fields =
        json_pack("{s:s?,s:s,s:O}", "credential", credential, "sealed", sealed, "fields", fields);
    done(arg, credential ? credential : "01J00000000000000000000000", NULL, NULL, NULL);
}

void eng_export(struct engine *engine, const char *credential, const char *sealed,
                const struct eng_actor *actor, eng_json_fn done, void *arg)
{
    CM_AUTO_JSON out = json_pack("{s:s}", "pkcs12", sealed);
    (void)engine;
    (void)actor;
    (void)credential;
    done(arg, out, NULL);
}

void eng_account_export(struct engine *engine, const char *name, const char *passphrase,
                        const struct eng_actor *actor, eng_json_fn done, void *arg)
{
    CM_AUTO_JSON out = json_pack("{s:s,s:s}", "name", name, "key_pem", passphrase ? "pem" : "");
    (void)engine;
    (void)actor;
    done(arg, out, NULL);
}
