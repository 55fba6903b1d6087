/*
 * Kind "exec": a program that the local configuration names writes the record.
 *
 * The document names only the entry [dns_exec NAME]; the path stays with the machine's
 * administrator.  Arguments: present or cleanup, "--", the name, the value: no shell sees them, and
 * "--" keeps a value that begins with '-' from being an option.  Credentials are environment
 * variables CERTMGR_CRED_NAME.
 */
#include <string.h>

#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/core/utf8.h"
#include "certmgr/dns/provider.h"

#define NAME_LEN_MAX 64
#define OUTPUT_MAX   300

/* Outlives a cancelled call until the program ends. */
struct exec_run {
    struct dnsp_call *call; /* NULL = cancelled */
};

static int exec_check(const struct dnsp_account *account, struct cm_err *err)
{
    const char *name = cm_json_str(account->options, "program");
    const char *key;
    json_t *member;
    if (!name || !name[0] || strlen(name) > NAME_LEN_MAX ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")])
        return cm_fail(err, CM_EINVAL,
                       "program: must be the NAME of a [dns_exec NAME] section of certmgr.conf");
    json_object_foreach((json_t *)(uintptr_t)account->secrets, key, member)
    {
        if (!json_is_string(member) || !key[0] || strlen(key) > NAME_LEN_MAX ||
            key[strspn(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")])
            return cm_fail(err, CM_EINVAL,
                           "%.40s: credentials are texts with names of letters, digits and _", key);
    }
    return 0;
}

static json_t *environment(const json_t *secrets)
{
    json_t *env = json_object();
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)secrets, key, member)
    {
        CM_AUTO_STR name = cm_asprintf("CERTMGR_CRED_%s", key);
        for (char *p = name; *p; p++)
            if (*p >= 'a' && *p <= 'z')
                *p = (char)(*p - 32);
        json_object_set(env, name, member);
    }
    return env;
}

/* The last words of the program, for people; its credentials are not shown. */
static void add_output(struct cm_err *err, const char *output, const json_t *secrets)
{
    const char *key;
    json_t *member;
    if (!output || !output[0])
        return;
    json_object_foreach((json_t *)(uintptr_t)secrets, key, member)
    {
        const char *secret = json_string_value(member);
        if (secret && strlen(secret) >= 4 && strstr(output, secret)) {
            cm_err_cause(err, "its output holds a credential and is not shown");
            return;
        }
    }
    size_t len = strlen(output);
    CM_AUTO_STR tail = cm_strdup(len > OUTPUT_MAX ? output + len - OUTPUT_MAX : output);
    cm_utf8_fix(tail);
    cm_err_cause(err, "it said: %s", tail);
}

static void on_end(void *arg, int status, const char *output, const struct cm_err *why)
{
    struct exec_run *run = arg;
    struct dnsp_call *call = run->call;
    struct cm_err err = CM_ERR_INIT;
    cm_free(run);
    if (!call)
        return;
    const char *name = cm_json_str(call->account.options, "program");
    if (why) {
        cm_err_copy(&err, why);
        cm_wrap(&err, CM_EIO, "program %s could not be run", name);
    } else if (status != 0) {
        cm_fail(&err, CM_EPEER, "program %s ended with status %d", name, status);
        add_output(&err, output, call->account.secrets);
        err.retry = CM_RETRY_TRANSIENT;
    }
    dnsp_trace(call, "%s: %s", name, err.code ? "failed" : "status 0");
    dnsp_finish(call, NULL, err.code ? &err : NULL);
    cm_err_fini(&err);
}

static void *start(struct dnsp_call *call, const char *verb)
{
    const char *name = cm_json_str(call->account.options, "program");
    const char *const argv[] = {verb, "--", call->fqdn, call->value};
    if (!call->env->exec) {
        struct cm_err err = CM_ERR_INIT;
        cm_fail(&err, CM_EDENIED, "programs are not run here");
        dnsp_finish(call, NULL, &err);
        cm_err_fini(&err);
        return NULL;
    }
    struct exec_run *run = cm_calloc(1, sizeof(*run));
    CM_AUTO_JSON env = environment(call->account.secrets);
    run->call = call;
    dnsp_trace(call, "run %s %s -- %s %s", name, verb, call->fqdn, call->value);
    call->env->exec(call->env->exec_arg, name, argv, sizeof(argv) / sizeof(argv[0]), env, on_end,
                    run);
    return run;
}

static void *exec_add(struct dnsp_call *call)
{
    return start(call, "present");
}

static void *exec_delete(struct dnsp_call *call)
{
    return start(call, "cleanup");
}

static void exec_cancel(void *state)
{
    struct exec_run *run = state;
    run->call = NULL;
}

const struct dnsp_kind dnsp_exec = {
    .name = "exec",
    .title = "Program of this server",
    .check = exec_check,
    .add = exec_add,
    .del = exec_delete,
    .cancel = exec_cancel,
};
