/* One row per setting; man/certmgr.conf.5 describes the same rows (tests/lint compares them). */
#include "certmgr/config/config_items.h"

#include "base/core/mem.h"
#include "base/core/num.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define GLOBAL(field) offsetof(struct config, field), sizeof(((struct config *)0)->field)
#define TARGET(field)                                                                              \
    offsetof(struct config_target, field), sizeof(((struct config_target *)0)->field)

#define PROGRAM(field)                                                                             \
    offsetof(struct config_program, field), sizeof(((struct config_program *)0)->field)

static const struct config_item items[] = {
    {"server", "name", CONFIG_TEXT, GLOBAL(name), 0, 0, NULL, "name of this server in the fleet"},
    {"server", "host", CONFIG_TEXT, GLOBAL(ui_host), 0, 0, NULL,
     "host name or address in this server's URLs; default: the listen address or the name"},
    {"server", "listen_address", CONFIG_TEXT, GLOBAL(listen_address), 0, 0, "0.0.0.0",
     "address all listeners bind"},
    {"server", "ui_port", CONFIG_INT, GLOBAL(ui_port), 0, 65535, "8443", "web interface; 0 = off"},
    {"server", "replication_port", CONFIG_INT, GLOBAL(replication_port), 0, 65535, "8444",
     "replication and /join on upstreams; 0 = off"},
    {"server", "challenge_address", CONFIG_TEXT, GLOBAL(challenge_address), 0, 0, "",
     "address the challenge listener binds; default: listen_address"},
    {"server", "challenge_port", CONFIG_INT, GLOBAL(challenge_port), 0, 65535, "80",
     "HTTP-01 answers; 0 = off"},
    {"server", "tls_challenge_address", CONFIG_TEXT, GLOBAL(tls_challenge_address), 0, 0, "",
     "address the TLS-ALPN-01 listener binds; default: challenge_address"},
    {"server", "tls_challenge_port", CONFIG_INT, GLOBAL(tls_challenge_port), 0, 65535, "0",
     "TLS-ALPN-01 answers (443 where no web server is); 0 = off"},
    {"server", "log_level", CONFIG_TEXT, GLOBAL(log_level), 0, 0, "info",
     "debug, info, warn or error"},
    {"network", "resolver", CONFIG_SERVERS, GLOBAL(resolver), 0, 0, "",
     "DNS resolver address:port all look-ups start from; default: the system's"},
    {"network", "dns_port", CONFIG_INT, GLOBAL(dns_port), 1, 65535, "53",
     "port of authoritative name servers (other than 53 in a laboratory only)"},
    {"acme", "allowed_cas", CONFIG_ORIGINS, 0, 0, 0, 0, NULL,
     "origins (https://host[:port]) the key agent may sign ACME requests for"},
    {"acme", "lab_http", CONFIG_BOOL, GLOBAL(lab_http), 0, 0, "no",
     "accept http:// ACME URLs on loopback (tests only)"},
    {"process", "front_user", CONFIG_TEXT, GLOBAL(front_user), 0, 0, "",
     "user of the network process when started as root"},
    {"process", "agent_user", CONFIG_TEXT, GLOBAL(agent_user), 0, 0, "",
     "user of the key agent when started as root"},
    {"process", "socket_group", CONFIG_TEXT, GLOBAL(socket_group), 0, 0, "",
     "group of the API's socket, so that its members may connect; default: root's"},
    {"notify", "mail_to", CONFIG_MAIL, GLOBAL(notify.mail_to), 0, 0, "",
     "mail addresses that are told of failures, separated by blanks; default: no mail"},
    {"notify", "mail_from", CONFIG_TEXT, GLOBAL(notify.mail_from), 0, 0, "",
     "sender of the mail; default: certmgr@ and the server's name"},
    {"notify", "smtp_url", CONFIG_TEXT, GLOBAL(notify.smtp_url), 0, 0, "smtp://127.0.0.1:25",
     "mail relay, smtp://HOST:PORT (STARTTLS, but on loopback) or smtps://HOST:PORT"},
    {"notify", "smtp_user", CONFIG_TEXT, GLOBAL(notify.smtp_user), 0, 0, "",
     "login at the mail relay; default: none"},
    {"notify", "smtp_password_file", CONFIG_TEXT, GLOBAL(notify.smtp_password_file), 0, 0, "",
     "file with the password of smtp_user"},
    {"notify", "webhook_url", CONFIG_TEXT, GLOBAL(notify.webhook_url), 0, 0, "",
     "https:// URL that gets every notice as signed JSON; default: none"},
    {"notify", "webhook_secret_file", CONFIG_TEXT, GLOBAL(notify.webhook_secret_file), 0, 0, "",
     "file with the secret the webhook is signed with"},
    {"notify", "ca_file", CONFIG_TEXT, GLOBAL(notify.ca_file), 0, 0, "",
     "PEM file of the CAs accepted for relay and webhook; default: the system's"},
    {"notify", "mail_language", CONFIG_TEXT, GLOBAL(notify.mail_language), 0, 0, "en",
     "language of the mail: en or ja"},
    {"notify", "webhook_language", CONFIG_TEXT, GLOBAL(notify.webhook_language), 0, 0, "en",
     "language of what the webhook's texts say: en or ja"},
    {"notify", "check_interval", CONFIG_INT, GLOBAL(notify.check_interval_s), 1, 3600, "60",
     "seconds between looks for something to tell"},
    {"notify", "remind_after", CONFIG_INT, GLOBAL(notify.remind_after_s), 60, 2592000, "86400",
     "seconds after which what is still open is told again"},
    {"notify", "deploy_after", CONFIG_INT, GLOBAL(notify.deploy_after_s), 10, 604800, "900",
     "seconds a server may take to deploy a new certificate before that is told"},
    {"notify", "silent_after", CONFIG_INT, GLOBAL(notify.silent_after_s), 10, 2592000, "86400",
     "seconds without a word from a server before that is told"},
    {"orders", "before", CONFIG_ARGV, GLOBAL(orders.before), 0, 0, NULL,
     "command that is run when the manager begins to work at CAs (words, no shell)"},
    {"orders", "after", CONFIG_ARGV, GLOBAL(orders.after), 0, 0, NULL,
     "command that is run when that work is done, if anything was attempted"},
    {"orders", "hook_timeout", CONFIG_INT, GLOBAL(orders.hook_timeout_s), 1, 600, "60",
     "seconds such a command may take"},
    {"orders", "open_max", CONFIG_INT, GLOBAL(orders.open_max), 1, 128, "128",
     "orders, renewals and revocations under way at a time"},
    {"target", "directory", CONFIG_TEXT, TARGET(files.directory), 0, 0, NULL,
     "data directory the keyring files are written into; must exist"},
    {"target", "formats", CONFIG_FORMATS, 0, 0, 0, 0, "kyr pem", "kyr, pem or both"},
    {"target", "owner", CONFIG_TEXT, TARGET(files.owner), 0, 0, "", "owner of the files"},
    {"target", "group", CONFIG_TEXT, TARGET(files.group), 0, 0, "", "group of the files"},
    {"target", "mode", CONFIG_MODE, TARGET(files.mode), 0400, 0660, "0600",
     "mode of files that hold a key"},
    {"target", "test", CONFIG_ARGV, TARGET(test), 0, 0, NULL,
     "command that checks the service's configuration before the reload (words, no shell)"},
    {"target", "reload", CONFIG_ARGV, TARGET(reload), 0, 0, NULL,
     "command that makes the service load the new files (words, no shell)"},
    {"target", "hook_timeout", CONFIG_INT, TARGET(hook_timeout_s), 1, 600, "60",
     "seconds a command may take"},
    {"target", "check", CONFIG_TEXT, TARGET(check), 0, 0, "",
     "address:port whose served certificate is compared after the reload"},
    {"dns_exec", "command", CONFIG_ARGV, PROGRAM(command), 0, 0, NULL,
     "program that writes TXT records: called with present or cleanup, --, name, value"},
    {"dns_exec", "timeout", CONFIG_INT, PROGRAM(timeout_s), 1, 3600, "60",
     "seconds a call may take"},
};

size_t config_item_count(void)
{
    return sizeof(items) / sizeof(items[0]);
}

const struct config_item *config_item_at(size_t i)
{
    return i < config_item_count() ? &items[i] : NULL;
}

const struct config_item *config_item_find(const char *section, const char *key)
{
    for (size_t i = 0; i < config_item_count(); i++)
        if (strcmp(items[i].section, section) == 0 && strcmp(items[i].key, key) == 0)
            return &items[i];
    return NULL;
}

/* Levenshtein distance, words cut at 31 characters. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[32];
    size_t la = strnlen(a, 31), lb = strnlen(b, 31);
    for (size_t j = 0; j <= lb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[lb];
}

const char *config_item_nearest(const char *section, const char *key)
{
    const char *best = NULL;
    unsigned best_distance = 4;
    for (size_t i = 0; i < config_item_count(); i++) {
        unsigned d = distance(items[i].key, key) + (strcmp(items[i].section, section) != 0);
        if (d < best_distance) {
            best_distance = d;
            best = items[i].key;
        }
    }
    return best;
}

bool config_section_known(const char *section)
{
    for (size_t i = 0; i < config_item_count(); i++)
        if (strcmp(items[i].section, section) == 0)
            return true;
    return false;
}

const char *config_section_nearest(const char *section)
{
    const char *best = NULL;
    unsigned best_distance = 4;
    for (size_t i = 0; i < config_item_count(); i++) {
        unsigned d = distance(items[i].section, section);
        if (d < best_distance) {
            best_distance = d;
            best = items[i].section;
        }
    }
    return best;
}

typedef int (*word_fn)(void *arg, const char *word, struct cm_err *err);

/* Splits at blanks; no quoting: a word with blanks belongs into a script of its own. */
static int each_word(const char *value, word_fn fn, void *arg, struct cm_err *err)
{
    const char *p = value;
    for (;;) {
        p += strspn(p, " \t");
        size_t n = strcspn(p, " \t");
        if (n == 0)
            return 0;
        CM_AUTO_STR word = cm_strndup(p, n);
        int rv = fn(arg, word, err);
        if (rv != 0)
            return rv;
        p += n;
    }
}

static int add_argv(void *arg, const char *word, struct cm_err *err)
{
    struct config_argv *v = arg;
    size_t n = 0;
    while (v->argv[n] != NULL)
        n++;
    if (n == CONFIG_ARGV_MAX)
        return cm_fail(err, CM_ELIMIT, "more than %d words", CONFIG_ARGV_MAX);
    if (n == 0 && word[0] != '/')
        return cm_fail(err, CM_EINVAL, "the command must be an absolute path, not \"%.100s\"",
                       word);
    v->argv[n] = cm_strdup(word);
    return 0;
}

static int add_origin(void *arg, const char *word, struct cm_err *err)
{
    struct config *c = arg;
    if (c->origin_count == KF_ORIGINS_MAX)
        return cm_fail(err, CM_ELIMIT, "more than %d origins", KF_ORIGINS_MAX);
    if (cm_strcpy(c->origin[c->origin_count], sizeof(c->origin[0]), word) != 0)
        return cm_fail(err, CM_ELIMIT, "an origin is longer than 279 bytes");
    c->origin_count++;
    return 0;
}

static int add_format(void *arg, const char *word, struct cm_err *err)
{
    struct config_target *t = arg;
    if (strcmp(word, "kyr") == 0)
        t->files.kyr = true;
    else if (strcmp(word, "pem") == 0)
        t->files.pem = true;
    else
        return cm_fail(err, CM_EINVAL, "\"%.100s\" is not a format; use kyr, pem or both", word);
    return 0;
}

/* The shape alone; smtp_address_ok() of base/net judges it again before it is sent. */
static int judge_mail(void *arg, const char *word, struct cm_err *err)
{
    (void)arg;
    const char *at = strchr(word, '@');
    if (at == NULL || at == word || at[1] == '\0' || strchr(at + 1, '@') != NULL ||
        strpbrk(word, "<>(),;:\"\\") != NULL)
        return cm_fail(err, CM_EINVAL,
                       "\"%.100s\" is not a mail address; write name@example.com, several "
                       "separated by blanks",
                       word);
    return 0;
}

static bool is_port(const char *text)
{
    int64_t port;
    return cm_num_i64(text, 1, 65535, &port) == 0;
}

/* "192.0.2.1", "192.0.2.1:53", "2001:db8::1", "[2001:db8::1]" or "[2001:db8::1]:53": what c-ares
 * takes; what it does not take it leaves out without a word. */
static bool is_server(const char *text)
{
    struct in6_addr address; /* the larger one */
    CM_AUTO_STR host = cm_strdup(text[0] == '[' ? text + 1 : text);
    if (inet_pton(AF_INET6, text, &address) == 1)
        return true;
    char *end = strchr(host, text[0] == '[' ? ']' : ':');
    const char *port = NULL;
    if (text[0] == '[' && (end == NULL || (end[1] != '\0' && end[1] != ':')))
        return false;
    if (end != NULL) {
        port = text[0] != '[' ? end + 1 : end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
    }
    return inet_pton(text[0] == '[' ? AF_INET6 : AF_INET, host, &address) == 1 &&
           (port == NULL || is_port(port));
}

static int judge_servers(const char *value, struct cm_err *err)
{
    const char *p = value;
    while (*value != '\0') {
        size_t n = strcspn(p, ",");
        CM_AUTO_STR server = cm_strndup(p, n);
        if (!is_server(server))
            return cm_fail(err, CM_EINVAL,
                           "\"%.100s\" is not the address of a server; write 192.0.2.1, "
                           "192.0.2.1:53 or [2001:db8::1]:53, several separated by commas alone",
                           server);
        if (p[n] == '\0')
            break;
        p += n + 1;
    }
    return 0;
}

static int set_text(const struct config_item *item, char *field, const char *value,
                    struct cm_err *err)
{
    if (cm_strcpy(field, item->size, value) != 0)
        return cm_fail(err, CM_ELIMIT, "longer than %zu bytes", item->size - 1);
    return 0;
}

/* Adds to what stands there already, one blank between two words. */
static int add_words(char *field, size_t size, const char *value, struct cm_err *err)
{
    CM_AUTO_STR all = cm_asprintf("%s%s%s", field, field[0] != '\0' ? " " : "", value);
    if (cm_strcpy(field, size, all) != 0)
        return cm_fail(err, CM_ELIMIT, "longer than %zu bytes together", size - 1);
    return 0;
}

static int set_bool(bool *out, const char *value, struct cm_err *err)
{
    *out = strcmp(value, "yes") == 0 || strcmp(value, "true") == 0;
    if (!*out && strcmp(value, "no") != 0 && strcmp(value, "false") != 0)
        return cm_fail(err, CM_EINVAL, "write yes or no, not \"%.100s\"", value);
    return 0;
}

static int set_mode(unsigned *out, const struct config_item *item, const char *value,
                    struct cm_err *err)
{
    unsigned mode = 0;
    size_t n = strlen(value);
    if (n < 3 || n > 4 || strspn(value, "01234567") != n)
        return cm_fail(err, CM_EINVAL, "write an octal mode such as 0600");
    for (size_t i = 0; i < n; i++)
        mode = mode * 8 + (unsigned)(value[i] - '0');
    if (mode < (unsigned)item->min || mode > (unsigned)item->max || (mode & 0007) != 0)
        return cm_fail(err, CM_EINVAL, "a key file is never readable by others: 0400 to 0660");
    *out = mode;
    return 0;
}

int config_item_set(const struct config_item *item, void *base, const char *value, bool again,
                    struct cm_err *err)
{
    char *field = (char *)base + item->offset;
    int64_t n = 0;
    int rv;
    if (again && item->kind != CONFIG_ARGV && item->kind != CONFIG_ORIGINS &&
        item->kind != CONFIG_MAIL)
        return cm_fail(err, CM_EINVAL, "set twice");
    switch (item->kind) {
    case CONFIG_TEXT:
        return set_text(item, field, value, err);
    case CONFIG_SERVERS:
        rv = judge_servers(value, err);
        return rv != 0 ? rv : set_text(item, field, value, err);
    case CONFIG_INT:
        if (cm_num_i64(value, item->min, item->max, &n) != 0)
            return cm_fail(err, CM_EINVAL, "write a number from %d to %d", item->min, item->max);
        *(int *)(void *)field = (int)n;
        return 0;
    case CONFIG_BOOL:
        return set_bool((bool *)(void *)field, value, err);
    case CONFIG_MODE:
        return set_mode((unsigned *)(void *)field, item, value, err);
    case CONFIG_ARGV:
        return each_word(value, add_argv, field, err);
    case CONFIG_MAIL:
        rv = each_word(value, judge_mail, NULL, err);
        return rv != 0 ? rv : add_words(field, item->size, value, err);
    case CONFIG_ORIGINS:
        return each_word(value, add_origin, base, err);
    case CONFIG_FORMATS: {
        struct config_target *t = base;
        t->files.kyr = t->files.pem = false;
        return each_word(value, add_format, t, err);
    }
    }
    return CM_EINVAL;
}

void config_items_default(struct config *config)
{
    for (size_t i = 0; i < config_item_count(); i++) {
        const struct config_item *item = &items[i];
        if (item->fallback == NULL || strcmp(item->section, "target") == 0 ||
            strcmp(item->section, "dns_exec") == 0)
            continue;
        CM_BUG_ON(config_item_set(item, config, item->fallback, false, NULL) != 0);
    }
}

void config_items_finish(struct config *config)
{
    if (config->ui_host[0] == '\0')
        cm_strcpy(config->ui_host, sizeof(config->ui_host),
                  strcmp(config->listen_address, "0.0.0.0") == 0 ? config->name
                                                                 : config->listen_address);
    if (config->challenge_address[0] == '\0')
        cm_strcpy(config->challenge_address, sizeof(config->challenge_address),
                  config->listen_address);
    if (config->tls_challenge_address[0] == '\0')
        cm_strcpy(config->tls_challenge_address, sizeof(config->tls_challenge_address),
                  config->challenge_address);
    if (config->notify.mail_from[0] == '\0')
        snprintf(config->notify.mail_from, sizeof(config->notify.mail_from), "certmgr@%s",
                 config->name);
    if (config->origin_count == 0) {
        /* those of certmgr/acme/presets.c */
        add_origin(config, "https://acme-v02.api.letsencrypt.org", NULL);
        add_origin(config, "https://acme-staging-v02.api.letsencrypt.org", NULL);
        add_origin(config, "https://acme.ssl.com", NULL);
        add_origin(config, "https://acme.amecert.jprs.jp", NULL);
    }
}
