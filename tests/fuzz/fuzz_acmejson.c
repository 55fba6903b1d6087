/* Whatever a CA may send: JSON objects, heads and chains through every ACME parser. */
#include <stdint.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/acme/chain.h"
#include "certmgr/acme/directory.h"
#include "certmgr/acme/header.h"
#include "certmgr/acme/problem.h"
#include "certmgr/acme/resource.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(void *arg, const char *target)
{
    char text[ACME_TEXT_MAX];
    (void)arg;
    acme_text(target, text);
}

/* The part before the first NUL byte is a head, the rest a body. */
static void as_head(const char *head)
{
    char value[64];
    (void)acme_header_get(head, "location", 1, value, sizeof(value));
    int64_t at = acme_retry_after(head, INT64_C(1794794400000));
    CM_BUG_ON(at != 0 &&
              (at < INT64_C(1794794400000) || at > INT64_C(1794794400000) + ACME_RETRY_AFTER_MAX));
    acme_link_each(head, "next", ignore, NULL);
    (void)acme_time(head);
}

static void as_object(const json_t *obj, const char *head)
{
    struct cm_err err = CM_ERR_INIT;
    struct acme_directory dir = {0};
    struct acme_order_object order;
    struct acme_authz authz;
    json_t *names = json_pack("[s, s]", "a.example.com", "*.example.com");
    if (acme_directory_parse(obj, true, &dir, &err) == 0)
        CM_BUG_ON(!dir.new_nonce || !dir.new_order || !dir.new_account);
    acme_directory_fini(&dir);
    (void)acme_order_parse(obj, names, true, &order, &err);
    if (acme_authz_parse(obj, names, true, NULL, NULL, &authz, &err) == 0 && authz.url)
        CM_BUG_ON(!acme_token_ok(authz.token));
    (void)acme_problem_fail(&err, obj, 400, head, ACME_ABOUT_ORDER, "the new order");
    CM_BUG_ON(err.code == 0 || err.what[0] == '\0' || err.hint[0] == '\0');
    json_decref(cm_err_to_json(&err));
    cm_err_fini(&err);
    json_decref(names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = memchr(data, 0, size);
    size_t head_len = nul ? (size_t)(nul - data) : 0;
    const uint8_t *body = nul ? nul + 1 : data;
    size_t body_len = nul ? size - head_len - 1 : size;
    CM_AUTO_STR head = cm_strndup((const char *)data, head_len);
    CM_AUTO_STR text = cm_strndup((const char *)body, body_len);
    json_t *obj = NULL;
    as_head(head);
    (void)acme_chain_check((const char *)body, body_len, NULL);
    if (cm_json_parse_lax((const char *)body, body_len, &obj, NULL) == 0)
        as_object(obj, head);
    json_decref(obj);
    as_head(text);
    return 0;
}
