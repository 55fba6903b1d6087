/*
 * Reads the configuration through a table of items: one row per key with its kind, range and
 * default.  The file format is INI (libinih); a continuation line (leading blank) adds words.
 */
#include "certmgr/config/config.h"

#include "base/core/file.h"
#include "base/core/mem.h"
#include "certmgr/config/config_items.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CONFIG_FILE_MAX (256u << 10)
/* libinih's line buffer; longer lines would be cut silently, so they are refused. */
#define CONFIG_LINE_MAX 198
#define CONFIG_ROOT_MAX 900 /* leaves room for the places below it */

struct reader {
    const char *text;
    size_t pos, len;
    int line, section_line; /* the present one, the one that the present section begins with */
    struct config *config;
    const char *file;
    char last_section[80], last_key[80];
    struct cm_err *err;
    bool failed;
};

static void fail_on(struct reader *r, int line, int code, const char *what)
{
    if (r->failed)
        return;
    r->failed = true;
    cm_fail(r->err, code, "%s, line %d: %s", r->file, line, what);
}

static void fail_at(struct reader *r, int code, const char *what)
{
    fail_on(r, r->line, code, what);
}

/* The first value of an unknown section ends the reading, so what continues a value does no harm.
 */
static void note_section(struct reader *r, const char *text)
{
    if (text[strspn(text, " \t")] == '[')
        r->section_line = r->line;
}

/* fgets() look-alike over the text, counting lines (libinih's handler is not told the line). */
static char *next_line(char *out, int size, void *arg)
{
    struct reader *r = arg;
    if (r->failed || r->pos >= r->len)
        return NULL;
    const char *start = r->text + r->pos;
    const char *nl = memchr(start, '\n', r->len - r->pos);
    size_t n = nl != NULL ? (size_t)(nl - start) + 1 : r->len - r->pos;
    r->line++;
    r->pos += n;
    if (n > CONFIG_LINE_MAX || n >= (size_t)size) {
        fail_at(
            r, CM_ELIMIT,
            "the line is too long; continue it on the next line, which then begins with a blank");
        return NULL;
    }
    memcpy(out, start, n);
    out[n] = '\0';
    note_section(r, out);
    return out;
}

static struct config_target *target_of(struct reader *r, const char *name)
{
    struct config *c = r->config;
    for (size_t i = 0; i < c->target_count; i++)
        if (strcmp(c->target[i].files.name, name) == 0)
            return &c->target[i];
    if (name[0] == '\0' || strlen(name) >= sizeof(c->target[0].files.name) ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") != strlen(name)) {
        fail_at(r, CM_EINVAL, "a target's name is 1 to 63 of a-z 0-9 . _ -");
        return NULL;
    }
    if (c->target_count == CONFIG_TARGETS_MAX) {
        fail_at(r, CM_ELIMIT, "too many [target] sections");
        return NULL;
    }
    struct config_target *t = &c->target[c->target_count++];
    cm_strcpy(t->files.name, sizeof(t->files.name), name);
    t->files.mode = 0600;
    t->files.kyr = true;
    t->files.pem = true;
    t->hook_timeout_s = 60;
    return t;
}

static struct config_program *program_of(struct reader *r, const char *name)
{
    struct config *c = r->config;
    for (size_t i = 0; i < c->program_count; i++)
        if (strcmp(c->program[i].name, name) == 0)
            return &c->program[i];
    if (name[0] == '\0' || strlen(name) >= sizeof(c->program[0].name) ||
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
            strlen(name)) {
        fail_at(r, CM_EINVAL, "[dns_exec NAME]: a name is 1 to 63 of a-z A-Z 0-9 . _ -");
        return NULL;
    }
    if (c->program_count == CONFIG_PROGRAMS_MAX) {
        fail_at(r, CM_ELIMIT, "too many [dns_exec] sections");
        return NULL;
    }
    struct config_program *program = &c->program[c->program_count++];
    cm_strcpy(program->name, sizeof(program->name), name);
    program->timeout_s = 60;
    return program;
}

/* "NAME" of [word NAME] and "" of [word]; NULL = another section.  The blanks before the name are
 * ours, not libinih's. */
static const char *name_in(const char *section, const char *word)
{
    size_t len = strlen(word);
    if (strncmp(section, word, len) != 0 || (section[len] != '\0' && section[len] != ' '))
        return NULL;
    return section + len + strspn(section + len, " ");
}

/* What a section's values go into, and the section as the table of items calls it. */
static void *base_of(struct reader *r, const char *section, const char **ret_section)
{
    const char *name = name_in(section, "target");
    if (name != NULL) {
        *ret_section = "target";
        return target_of(r, name[0] == '\0' ? "default" : name);
    }
    name = name_in(section, "dns_exec");
    *ret_section = name != NULL ? "dns_exec" : section;
    return name != NULL ? (void *)program_of(r, name) : r->config;
}

static void unknown_setting(struct reader *r, const char *section, const char *listed,
                            const char *key)
{
    char text[CM_ERR_TEXT_MAX];
    bool known = config_section_known(listed);
    const char *near = known        ? config_item_nearest(listed, key)
                       : section[0] ? config_section_nearest(listed)
                                    : NULL;
    const char *mark = known ? "\"" : "";
    if (known)
        snprintf(text, sizeof(text), "unknown setting \"%.60s\" in [%.60s]", key, section);
    else if (section[0])
        snprintf(text, sizeof(text), "unknown section [%.60s]", section);
    else
        snprintf(text, sizeof(text), "\"%.60s\" stands in no section: write [server] above it",
                 key);
    size_t len = strlen(text);
    if (near)
        snprintf(text + len, sizeof(text) - len, "; did you mean %s%s%s%s%s?", known ? "" : "[",
                 mark, near, mark, known ? "" : "]");
    fail_on(r, known || !section[0] ? r->line : r->section_line, CM_EINVAL, text);
}

static int on_value(void *arg, const char *section, const char *key, const char *value)
{
    struct reader *r = arg;
    if (r->failed)
        return 0;
    bool again = strcmp(section, r->last_section) == 0 && strcmp(key, r->last_key) == 0;
    cm_strcpy(r->last_section, sizeof(r->last_section), section);
    cm_strcpy(r->last_key, sizeof(r->last_key), key);
    const char *listed = section;
    void *base = base_of(r, section, &listed);
    if (base == NULL)
        return 0;
    const struct config_item *item = config_item_find(listed, key);
    char text[CM_ERR_TEXT_MAX];
    if (item == NULL) {
        unknown_setting(r, section, listed, key);
        return 0;
    }
    struct cm_err why = CM_ERR_INIT;
    int rv = config_item_set(item, base, value, again, &why);
    if (rv != 0) {
        snprintf(text, sizeof(text), "%.60s: %.400s", key, why.what);
        fail_at(r, rv, text);
    }
    cm_err_fini(&why);
    return rv == 0;
}

static int parse(struct config *config, const char *file, const char *text, size_t len,
                 struct cm_err *err)
{
    struct reader r = {.text = text, .len = len, .config = config, .file = file, .err = err};
    int rv = ini_parse_stream(next_line, &r, on_value, &r);
    if (!r.failed && rv != 0)
        return cm_fail(err, CM_EMALF, "%s, line %d: neither [section] nor name = value", file, rv);
    return r.failed ? (err != NULL ? err->code : CM_EINVAL) : 0;
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static int check_language(const struct config *c, const char *key, const char *value,
                          struct cm_err *err)
{
    if (strcmp(value, "en") == 0 || strcmp(value, "ja") == 0)
        return 0;
    return cm_fail(err, CM_EINVAL, "%s: [notify] %s: write en or ja, not \"%s\"", c->conf_file, key,
                   value);
}

/* What can be told wrong before anything is sent; addresses and URLs in full are judged by their
 * users (base/net). */
static int check_notify(const struct config *c, struct cm_err *err)
{
    const struct config_notify *n = &c->notify;
    const struct {
        const char *key, *value;
    } paths[] = {{"smtp_password_file", n->smtp_password_file},
                 {"webhook_secret_file", n->webhook_secret_file},
                 {"ca_file", n->ca_file}};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        if (paths[i].value[0] != '\0' && paths[i].value[0] != '/')
            return cm_fail(err, CM_EINVAL, "%s: [notify] %s must be an absolute path", c->conf_file,
                           paths[i].key);
    if (!begins(n->smtp_url, "smtp://") && !begins(n->smtp_url, "smtps://"))
        return cm_fail(err, CM_EINVAL, "%s: [notify] smtp_url is no smtp:// or smtps:// URL",
                       c->conf_file);
    if (n->smtp_user[0] != '\0' && n->smtp_password_file[0] == '\0')
        return cm_fail(err, CM_EINVAL, "%s: [notify] smtp_user needs smtp_password_file",
                       c->conf_file);
    int rv = check_language(c, "mail_language", n->mail_language, err);
    if (rv == 0)
        rv = check_language(c, "webhook_language", n->webhook_language, err);
    if (rv != 0 || n->webhook_url[0] == '\0')
        return rv;
    if (!begins(n->webhook_url, "https://") && !begins(n->webhook_url, "http://127."))
        return cm_fail(err, CM_EINVAL,
                       "%s: [notify] webhook_url is no https:// URL (http:// on loopback alone)",
                       c->conf_file);
    if (n->webhook_secret_file[0] == '\0')
        return cm_fail(err, CM_EINVAL,
                       "%s: [notify] webhook_url needs webhook_secret_file: receivers tell by the "
                       "signature that a notice is ours",
                       c->conf_file);
    return 0;
}

static int check(const struct config *c, struct cm_err *err)
{
    for (size_t i = 0; i < c->program_count; i++)
        if (c->program[i].command.argv[0] == NULL || c->program[i].command.argv[0][0] != '/')
            return cm_fail(err, CM_EINVAL, "%s: [dns_exec %s] needs a command with its full path",
                           c->conf_file, c->program[i].name);
    for (size_t i = 0; i < c->target_count; i++)
        if (c->target[i].files.directory[0] != '/')
            return cm_fail(err, CM_EINVAL, "%s: [target %s] needs an absolute directory",
                           c->conf_file, c->target[i].files.name);
    for (size_t i = 0; i < c->origin_count; i++)
        if (strncmp(c->origin[i], "https://", 8) != 0 &&
            !(c->lab_http && strncmp(c->origin[i], "http://127.", 11) == 0))
            return cm_fail(err, CM_EINVAL, "%s: allowed_cas: %s is not an https:// origin",
                           c->conf_file, c->origin[i]);
    if (strspn(c->name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != strlen(c->name) ||
        c->name[0] == '\0')
        return cm_fail(err, CM_EINVAL, "%s: [server] name \"%s\": use 1 to 63 of a-z 0-9 . -",
                       c->conf_file, c->name);
    return check_notify(c, err);
}

/* A relative root counts from where we are now: children and sockets need the whole path. */
static int set_root(struct config *c, const char *root, struct cm_err *err)
{
    char here[CONFIG_PATH_MAX] = "";
    if (root == NULL || root[0] == '\0')
        return 0;
    if (root[0] != '/' && getcwd(here, sizeof(here)) == NULL)
        return cm_fail_errno(err, errno, "--root: the present directory has no path");
    int n = snprintf(c->root, sizeof(c->root), "%s%s%s", here, root[0] != '/' ? "/" : "", root);
    if (n < 0 || n > CONFIG_ROOT_MAX)
        return cm_fail(err, CM_ELIMIT, "--root: the path is longer than %d bytes", CONFIG_ROOT_MAX);
    return 0;
}

static void defaults(struct config *c)
{
    snprintf(c->conf_file, sizeof(c->conf_file), "%.900s/etc/certmgr/certmgr.conf", c->root);
    snprintf(c->state_dir, sizeof(c->state_dir), "%.900s/var/lib/certmgr", c->root);
    snprintf(c->socket, sizeof(c->socket), "%.900s/run/certmgr/certmgr.sock", c->root);
    config_items_default(c);
    if (gethostname(c->name, sizeof(c->name) - 1) != 0)
        cm_strcpy(c->name, sizeof(c->name), "localhost");
    for (char *p = c->name; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
}

int config_load(const char *root, bool must_exist, struct config *ret, struct cm_err *err)
{
    memset(ret, 0, sizeof(*ret));
    int rv = set_root(ret, root, err);
    if (rv != 0)
        return rv;
    defaults(ret);
    if (!cm_path_exists(ret->conf_file) && !must_exist)
        return config_items_finish(ret), check(ret, err);
    CM_AUTO_STR text = NULL;
    size_t len = 0;
    rv = cm_file_read(ret->conf_file, CONFIG_FILE_MAX, &text, &len, err);
    if (rv != 0)
        return cm_wrap(err, rv, "the configuration cannot be read");
    rv = parse(ret, ret->conf_file, text, len, err);
    config_items_finish(ret);
    if (rv == 0)
        rv = check(ret, err);
    if (rv != 0)
        config_fini(ret);
    return rv;
}

static void free_words(struct config_argv *command)
{
    for (size_t k = 0; command->argv[k] != NULL; k++)
        cm_free(command->argv[k]);
}

void config_fini(struct config *config)
{
    for (size_t i = 0; i < config->target_count; i++) {
        free_words(&config->target[i].test);
        free_words(&config->target[i].reload);
    }
    for (size_t i = 0; i < config->program_count; i++)
        free_words(&config->program[i].command);
    free_words(&config->orders.before);
    free_words(&config->orders.after);
    memset(config, 0, sizeof(*config));
}

void config_store_dir(const struct config *config, char *out, size_t size)
{
    snprintf(out, size, "%s/store", config->state_dir);
}

void config_tls_files(const struct config *config, char *cert, char *key, size_t size)
{
    snprintf(cert, size, "%s/tls/cert.pem", config->state_dir);
    snprintf(key, size, "%s/tls/key.pem", config->state_dir);
}

void config_agent(const struct config *config, struct kf_agent_config *ret)
{
    memset(ret, 0, sizeof(*ret));
    int len = snprintf(ret->dir, sizeof(ret->dir), "%s/agent", config->state_dir);
    if (len < 0 || (size_t)len >= sizeof(ret->dir))
        ret->dir[0] = '\0'; /* the agent says that it has no place */
    for (size_t i = 0; i < config->target_count; i++)
        ret->target[ret->target_count++] = config->target[i].files;
    for (size_t i = 0; i < config->origin_count; i++)
        cm_strcpy(ret->origin[ret->origin_count++], sizeof(ret->origin[0]), config->origin[i]);
}
