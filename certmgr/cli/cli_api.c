/* One synchronous call to the running server over its Unix socket. */
#include "base/core/json.h"
#include "base/core/mem.h"
#include "base/net/http_client.h"
#include "certmgr/cli/cli_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define API_REPLY_MAX (16u << 20)

struct answer {
    struct cm_loop *loop;
    int status;
    json_t *body;
    bool junk; /* a body that is not JSON */
    struct cm_err err;
};

static void on_answer(void *arg, const struct http_result *res)
{
    struct answer *a = arg;
    a->status = res->status;
    cm_err_copy(&a->err, res->err);
    if (res->body_len > 0)
        a->junk = cm_json_parse_lax(res->body, res->body_len, &a->body, NULL) != 0;
    cm_loop_stop(a->loop);
}

/* Text of a CA or a peer may hold control bytes; printed as they are they would drive the terminal.
 * With --json they stay: JSON escapes them. */
static void clean_text(char *text)
{
    for (size_t i = 0; text[i] != '\0'; i++) {
        unsigned char c = (unsigned char)text[i], next = (unsigned char)text[i + 1];
        bool c1 = c == 0xc2 && next >= 0x80 && next <= 0x9f; /* U+0080 to U+009F */
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f || c1)
            text[i] = '?';
        if (c1)
            text[i + 1] = '?';
    }
}

void cli_clean(json_t *value)
{
    const char *key = NULL;
    size_t i = 0;
    json_t *child = NULL;
    if (json_is_string(value)) {
        CM_AUTO_STR text = cm_strdup(json_string_value(value));
        clean_text(text);
        json_string_set(value, text);
    }
    json_array_foreach(value, i, child)
    {
        cli_clean(child); /* as deep as the parser allows */
    }
    json_object_foreach(value, key, child)
    {
        cli_clean(child);
    }
}

static const char *message_of(const json_t *error)
{
    const char *message = cm_json_str(error, "message");
    return message != NULL ? message : cm_json_str_or(error, "detail", "");
}

/* Without errors of fields the title is HTTP's own phrase, which is no news beside the detail; with
 * them it says what happened, and the detail may be what one of them says, too. */
static void tell_title(const json_t *body, const json_t *errors)
{
    const char *title = cm_json_str_or(body, "title", "the server refused");
    const char *detail = cm_json_str(body, "detail");
    bool news = detail != NULL && strcmp(detail, title) != 0;
    for (size_t i = 0; news && i < json_array_size(errors); i++) {
        /* as it is, or behind the field's name */
        const char *message = message_of(json_array_get(errors, i));
        size_t len = strlen(message), all = strlen(detail);
        news = len == 0 || len > all || strcmp(detail + all - len, message) != 0;
    }
    if (news && json_array_size(errors) > 0)
        fprintf(stderr, "certmgr: %s: %s\n", title, detail);
    else
        fprintf(stderr, "certmgr: %s\n", news ? detail : title);
}

/* Problem details (RFC 9457) of a refusal, field by field. */
static int tell_problem(struct cli *cli, const struct answer *a)
{
    if (cli->json && a->body != NULL)
        cli_print_json(a->body);
    const json_t *errors = cm_json_arr(a->body, "errors");
    tell_title(a->body, errors);
    json_t *error = NULL;
    size_t i = 0;
    json_array_foreach(errors, i, error)
    {
        const char *field = cm_json_str_or(error, "field", cm_json_str_or(error, "pointer", ""));
        fprintf(stderr, "  %s: %s\n", field[0] == '/' ? field + 1 : field, message_of(error));
    }
    json_array_foreach(cm_json_arr(cm_json_obj(a->body, "error"), "causes"), i, error)
    {
        fprintf(stderr, "  because: %s\n", json_string_value(error));
    }
    const char *hint = cm_json_str(cm_json_obj(a->body, "error"), "hint");
    if (hint != NULL)
        fprintf(stderr, "  %s\n", hint);
    switch (a->status) {
    case 404:
        return CLI_NOT_FOUND;
    case 409:
    case 412:
        return CLI_CONFLICT;
    case 401:
    case 403:
        return CLI_DENIED;
    case 503:
        return CLI_UNREACHABLE;
    default:
        return CLI_FAILED;
    }
}

/* No answer, whatever the reason.  The HTTP client knows a host and a port where a person knows a
 * socket, so the usual reason, a failed connect(), is told anew. */
static void tell_unreachable(const char *path, bool again, struct cm_err *err)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && cm_strcpy(to.sun_path, sizeof(to.sun_path), path) == 0 &&
        connect(fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
        int why = errno;
        cm_err_fini(err);
        cm_fail(err, CM_ENET, "%s", cm_errno_text(why));
    }
    if (fd >= 0)
        close(fd);
    err->code = CM_ENET;
    cm_wrap(err, CM_ENET, "the server at %s does not answer", path);
    cm_err_hint(err, "Is \"certmgr serve\" running? Has the user of this shell access?%s",
                again ? " Once it runs, give the same command again: what was done is not done "
                        "twice."
                      : "");
}

/* May the same command be given once more when nobody knows what became of the first?  All but
 * POST say what is to be; of those, some find what has happened already, or leave nothing. */
static bool may_repeat(const char *method, const char *path)
{
    static const char *const finds[] = {"/servers", "/manager/promote", "/trust/", "/store/"};
    bool may = strcmp(method, "POST") != 0 && strcmp(method, "GET") != 0;
    for (size_t i = 0; i < sizeof(finds) / sizeof(finds[0]); i++)
        may =
            may || (strcmp(method, "POST") == 0 && strncmp(path, finds[i], strlen(finds[i])) == 0);
    return may;
}

static int finish(struct cli *cli, struct answer *a, bool again, json_t **ret)
{
    int status = CLI_OK;
    if (!cli->json)
        cli_clean(a->body);
    if (a->err.code != 0) {
        tell_unreachable(cli->config.socket, again, &a->err);
        status = cli_error(cli, &a->err);
    } else if (a->status < 200 || a->status > 299) {
        status = tell_problem(cli, a);
    } else if (a->junk) {
        cm_fail(&a->err, CM_EPEER, "the server at %s answered what is not JSON",
                cli->config.socket);
        status = cli_error(cli, &a->err);
    } else if (ret != NULL) {
        *ret = json_incref(a->body);
    }
    cm_err_fini(&a->err);
    json_decref(a->body);
    return status;
}

static void ask(const struct http_call_opts *opts, struct answer *a)
{
    a->loop = cm_loop_new();
    struct http_client *client = http_client_new(a->loop);
    if (http_call(client, opts, on_answer, a, &a->err) != NULL)
        cm_loop_run(a->loop);
    http_client_free(client);
    cm_loop_free(a->loop);
}

int cli_api(struct cli *cli, const char *method, const char *path, const json_t *body, json_t **ret)
{
    if (cli->help_of != NULL)
        return CLI_USAGE;
    CM_AUTO_STR text = body != NULL ? cm_json_dump(body, NULL) : NULL;
    CM_AUTO_STR url = cm_asprintf("http://localhost/api/v1%s", path);
    const char *headers[] = {"Content-Type: application/json", "Accept: application/json", NULL};
    struct http_call_opts opts = {.method = method,
                                  .url = url,
                                  .headers = headers,
                                  .body = text,
                                  .body_len = text != NULL ? strlen(text) : 0,
                                  .allow_http = true,
                                  .reply_max = API_REPLY_MAX,
                                  .unix_socket = cli->config.socket};
    struct answer a = {.err = CM_ERR_INIT};
    ask(&opts, &a);
    /* A server whose role changed or whose hold ended begins anew and cuts what it was just asked;
     * the next question waits until it is there. */
    if (a.err.code == CM_ENET && strcmp(method, "GET") == 0) {
        json_decref(a.body);
        cm_err_fini(&a.err);
        a = (struct answer){.err = CM_ERR_INIT};
        ask(&opts, &a);
    }
    return finish(cli, &a, may_repeat(method, path), ret);
}

int cli_get(struct cli *cli, const char *path, json_t **ret)
{
    struct cli_option none[] = {{.name = NULL}};
    CM_AUTO_JSON reply = NULL;
    *ret = NULL;
    if (cli_options(cli, none) != 0 || cli->argc != 0)
        return CLI_USAGE;
    int status = cli_api(cli, "GET", path, NULL, &reply);
    if (status == CLI_OK && cli->json)
        cli_print_json(reply);
    if (status == CLI_OK && !cli->json)
        *ret = json_incref(reply);
    return status;
}
