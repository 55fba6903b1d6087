/*
 * Kind "webhook": an own service writes the record (POST {"fqdn","value"} to URL/present and
 * URL/cleanup, as lego's httpreq does; fqdn with its dot).  It is a recipe that nobody has to load.
 */
#include <string.h>

#include "certmgr/dns/recipe.h"

static const char text[] =
    "{\"schema\":1,\"id\":\"webhook\",\"title\":\"Webhook\",\"revision\":1,"
    "\"credentials\":[{\"name\":\"username\",\"secret\":false,\"required\":false},"
    "{\"name\":\"password\",\"required\":false}],"
    "\"options\":[{\"name\":\"url\",\"required\":true,\"base\":true}],"
    "\"auth\":{\"kind\":\"basic\",\"user\":\"{{cred.username}}\","
    "\"password\":\"{{cred.password}}\"},"
    "\"txt\":{\"mode\":\"sep\"},\"reply\":\"text\",\"gone\":{\"status\":[404]},"
    "\"steps\":{\"add\":{\"post\":\"/present\",\"json\":{\"fqdn\":\"{{name.fqdn|dot}}\","
    "\"value\":\"{{value}}\"}},"
    "\"delete\":{\"post\":\"/cleanup\",\"json\":{\"fqdn\":\"{{name.fqdn|dot}}\","
    "\"value\":\"{{value}}\"}}}}";

static json_t *webhook_recipe(void)
{
    json_t *recipe = NULL;
    (void)cm_json_parse(text, sizeof(text) - 1, &recipe, NULL);
    return recipe;
}

static int webhook_check(const struct dnsp_account *account, struct cm_err *err)
{
    CM_AUTO_JSON recipe = webhook_recipe();
    int rc = rcp_check(recipe, err);
    if (rc == 0)
        rc = rcp_check_account(recipe, account->options, account->secrets, err);
    if (rc == 0 && cm_json_str(account->secrets, "password") &&
        !cm_json_str(account->secrets, "username"))
        rc = cm_fail(err, CM_EINVAL, "username: is needed with a password");
    return rc;
}

static void *webhook_add(struct dnsp_call *call)
{
    call->account.recipe = webhook_recipe();
    return dnsp_recipe.add(call);
}

static void *webhook_delete(struct dnsp_call *call)
{
    call->account.recipe = webhook_recipe();
    return dnsp_recipe.del(call);
}

static void webhook_cancel(void *state)
{
    dnsp_recipe.cancel(state);
}

const struct dnsp_kind dnsp_webhook = {
    .name = "webhook",
    .title = "Webhook",
    .check = webhook_check,
    .add = webhook_add,
    .del = webhook_delete,
    .cancel = webhook_cancel,
};
