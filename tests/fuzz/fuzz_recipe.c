/* Recipes from anywhere, and whatever a provider may answer them: checked, then played. */
#include <stdint.h>
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "certmgr/dns/recipe.h"
#include "certmgr/dns/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int no_key(const char *key_pem, const char *text, char **ret, struct cm_err *err)
{
    (void)key_pem;
    (void)text;
    (void)err;
    *ret = cm_strdup("x");
    return 0;
}

/* Every request goes to an allowed host and shows no secret. */
static void look_at(const struct rcp_request *r)
{
    CM_BUG_ON(!r->url || !r->shown || strstr(r->shown, "secret-4711"));
    for (size_t i = 0; i < r->header_count; i++)
        CM_BUG_ON(strpbrk(r->headers[i], "\r\n") != NULL);
}

static void play(const json_t *recipe, const char *reply, size_t len, bool adding)
{
    struct rcp_machine *m = NULL;
    const struct rcp_request *request;
    int64_t pause;
    json_t *record = NULL, *secrets = json_object(), *options = json_object();
    const json_t *all = cm_json_arr(recipe, "credentials");
    for (size_t i = 0; i < json_array_size(all); i++)
        cm_json_set_str(secrets, cm_json_str(json_array_get(all, i), "name"), "secret-4711");
    struct rcp_job job = {.recipe = recipe,
                          .options = options,
                          .secrets = secrets,
                          .fqdn = "_acme-challenge.www.example.com",
                          .value = "value",
                          .adding = adding,
                          .sign = no_key,
                          .now_ms = 1};
    struct rcp_reply answer = {
        .status = 200, .headers = "Retry-After: 1\r\n", .body = reply, .body_len = len};
    if (rcp_check_account(recipe, options, secrets, NULL) == 0 &&
        rcp_machine_new(&job, &m, NULL) == 0) {
        struct cm_err err = CM_ERR_INIT;
        for (unsigned i = 0; i < 200; i++) {
            enum rcp_ask ask = rcp_next(m, &request, &pause);
            if (ask == RCP_ASK_DONE)
                break;
            CM_BUG_ON(i == 199);
            if (ask == RCP_ASK_SOA)
                rcp_zone_found(m, "example.com", NULL);
            if (ask == RCP_ASK_SEND) {
                look_at(request);
                rcp_replied(m, &answer);
                answer.status = i % 5 == 4 ? 404 : i % 7 == 6 ? 503 : 200;
            }
        }
        (void)rcp_result(m, &record, &err);
        cm_err_fini(&err);
    }
    rcp_machine_free(m);
    json_decref(record);
    json_decref(secrets);
    json_decref(options);
}

/* A recipe, and after the first NUL byte what is answered to each of its requests. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = memchr(data, 0, size);
    size_t len = nul ? (size_t)(nul - data) : size;
    const char *reply = nul ? (const char *)nul + 1 : "";
    size_t reply_len = nul ? size - len - 1 : 0;
    CM_AUTO_STR body = cm_malloc(reply_len + 1);
    memcpy(body, reply, reply_len);
    body[reply_len] = '\0';
    json_t *recipe = NULL, *xml = NULL;
    if (len <= RCP_BYTES_MAX && cm_json_parse((const char *)data, len, &recipe, NULL) == 0 &&
        rcp_check(recipe, NULL) == 0) {
        play(recipe, body, reply_len, true);
        play(recipe, body, reply_len, false);
        (void)dnsp_lint(recipe, NULL, NULL, NULL);
    }
    if (xml_parse(body, reply_len, &xml, NULL) == 0)
        (void)xml_text(xml, "ChangeInfo/Status");
    json_decref(xml);
    json_decref(recipe);
    return 0;
}
