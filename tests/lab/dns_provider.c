/* dns-provider: one call of a DNS provider kind from the command line, for tests.  Never installed.
 *
 * dns-provider (--recipe FILE | --kind KIND) [--options JSON] [--secrets JSON] [--record JSON]
 *              [--resolver ADDRESS:PORT] add|delete FQDN VALUE [VALUE…]
 * dns-provider --lint FILE
 * dns-provider --verdicts FILE   (a recipe per line; a line each: "fine" or what is wrong)
 *
 * Several values run side by side.  Prints one JSON line per value: {"value","record","trace",…};
 * exit 0 when all went well. */
#include <stdio.h>
#include <string.h>

#include "base/core/file.h"
#include "base/core/mem.h"
#include "certmgr/dns/recipe.h"

#define VERDICTS_MAX (32u << 20)

struct args {
    const char *recipe, *kind, *options, *secrets, *record, *resolver, *lint, *verdicts;
    int rest;
};
struct one {
    struct cm_loop *loop;
    const char *value;
    json_t *trace;
    unsigned *open;
    int *status;
};

static json_t *parse(const char *text, const char *what)
{
    struct cm_err err = CM_ERR_INIT;
    json_t *v = NULL;
    if (text && cm_json_parse(text, strlen(text), &v, &err) < 0)
        fprintf(stderr, "%s: %s\n", what, err.what);
    return v;
}

static json_t *load(const char *path)
{
    struct cm_err err = CM_ERR_INIT;
    char *text = NULL;
    size_t len = 0;
    json_t *v = NULL;
    if (cm_file_read(path, RCP_BYTES_MAX, &text, &len, &err) < 0 ||
        cm_json_parse(text, len, &v, &err) < 0)
        fprintf(stderr, "%s: %s\n", path, err.what);
    cm_free(text);
    return v;
}

static void on_trace(void *arg, const char *line)
{
    struct one *one = arg;
    json_array_append_new(one->trace, json_string(line));
}

static void on_done(void *arg, const json_t *record, const struct cm_err *err)
{
    struct one *one = arg;
    CM_AUTO_JSON out =
        json_pack("{s:s, s:O*, s:O}", "value", one->value, "record", record, "trace", one->trace);
    if (err) {
        json_object_set_new(out, "error", cm_err_to_json(err));
        *one->status = 1;
    }
    CM_AUTO_STR text = cm_json_dump(out, NULL);
    printf("%s\n", text);
    if (--*one->open == 0)
        cm_loop_stop(one->loop);
}

static void read_args(int argc, char **argv, struct args *a)
{
    const struct {
        const char *name;
        const char **to;
    } known[] = {{"--recipe", &a->recipe},     {"--kind", &a->kind},
                 {"--options", &a->options},   {"--secrets", &a->secrets},
                 {"--record", &a->record},     {"--lint", &a->lint},
                 {"--resolver", &a->resolver}, {"--verdicts", &a->verdicts}};
    int at = 1;
    while (at + 1 < argc && strncmp(argv[at], "--", 2) == 0) {
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            if (strcmp(argv[at], known[i].name) == 0)
                *known[i].to = argv[at + 1];
        at += 2;
    }
    a->rest = at;
}

static int lint(const char *path)
{
    struct cm_err err = CM_ERR_INIT;
    char line[CM_ERR_TEXT_MAX];
    json_t *recipe = load(path);
    if (!recipe)
        return 2;
    int rc = dnsp_lint(recipe, NULL, NULL, &err);
    cm_err_line(&err, line, sizeof(line));
    printf("%s\n", rc < 0 ? line : "fine");
    json_decref(recipe);
    return rc < 0;
}

static void say_verdict(const char *text, size_t len)
{
    struct cm_err err = CM_ERR_INIT;
    char line[CM_ERR_TEXT_MAX];
    CM_AUTO_JSON recipe = NULL;
    int rc = cm_json_parse(text, len, &recipe, &err);
    if (rc == 0)
        rc = dnsp_lint(recipe, NULL, NULL, &err);
    cm_err_line(&err, line, sizeof(line));
    for (char *p = line; *p; p++)
        if (*p == '\n')
            *p = ' ';
    printf("%s\n", rc < 0 ? line : "fine");
    cm_err_fini(&err);
}

static int verdicts(const char *path)
{
    struct cm_err err = CM_ERR_INIT;
    char *text = NULL;
    size_t len = 0;
    if (cm_file_read(path, VERDICTS_MAX, &text, &len, &err) < 0) {
        fprintf(stderr, "%s: %s\n", path, err.what);
        return 2;
    }
    for (const char *p = text; *p; p += p[0] == '\n') {
        size_t n = strcspn(p, "\n");
        say_verdict(p, n);
        p += n;
    }
    cm_free(text);
    return 0;
}

static int run(struct args *a, int argc, char **argv)
{
    struct cm_loop *loop = cm_loop_new();
    struct cm_err err = CM_ERR_INIT;
    struct dnsp_env env = {.loop = loop, .http = http_client_new(loop), .lab_http = true};
    struct dnsp_account account = {.name = "lab",
                                   .kind = a->kind ? a->kind : "recipe",
                                   .options = parse(a->options, "options"),
                                   .secrets = parse(a->secrets, "secrets"),
                                   .recipe = a->recipe ? load(a->recipe) : NULL};
    CM_AUTO_JSON record = parse(a->record, "record");
    unsigned open = 0;
    int status = 0;
    struct one ones[8];
    dns_client_new(loop, a->resolver, &env.dns, &err);
    bool adding = strcmp(argv[a->rest], "add") == 0;
    const char *fqdn = argv[a->rest + 1];
    for (int i = a->rest + 2; i < argc && open < 8; i++) {
        struct one *one = &ones[open++];
        *one = (struct one){loop, argv[i], json_array(), &open, &status};
        if (adding)
            dnsp_add(&env, &account, fqdn, argv[i], on_trace, on_done, one);
        else
            dnsp_delete(&env, &account, fqdn, argv[i], record, on_trace, on_done, one);
    }
    unsigned count = open;
    cm_loop_run(loop);
    for (unsigned i = 0; i < count; i++)
        json_decref(ones[i].trace);
    http_client_free(env.http);
    dns_client_free(env.dns);
    cm_loop_free(loop);
    json_decref((json_t *)(uintptr_t)account.options);
    json_decref((json_t *)(uintptr_t)account.secrets);
    json_decref((json_t *)(uintptr_t)account.recipe);
    return status;
}

int main(int argc, char **argv)
{
    struct args a = {0};
    read_args(argc, argv, &a);
    if (a.lint)
        return lint(a.lint);
    if (a.verdicts)
        return verdicts(a.verdicts);
    if (argc - a.rest < 3 || (!a.recipe && !a.kind)) {
        fprintf(stderr,
                "usage: dns-provider --recipe FILE [--secrets JSON] add|delete FQDN VALUE\n");
        return 2;
    }
    return run(&a, argc, argv);
}
