/* Signing documents: only the types that our role owns. */
#include "keyfile/agent_impl.h"
#include "keyfile/docsig.h"

static int doc_sign(struct kfa *a, int64_t id, const json_t *request, json_t *reply,
                    struct cm_err *err)
{
    json_t *body = cm_json_obj(request, "body");
    (void)id;
    int rc = kf_doc_may_write(kfa_self(a), body, err);
    json_t *signature = NULL;
    if (rc == 0)
        rc = kf_doc_signature(&a->identity, body, cm_json_bool(request, "deleted", false),
                              &signature, err);
    if (rc == 0)
        cm_json_set(reply, "signature", signature); /* the body is the asker's already */
    return rc;
}

const struct kfa_verb kfa_verbs_doc[] = {
    {"doc.sign", KFA_MEMBER, {"o:body", "b:deleted"}, doc_sign},
    {0},
};
