/* The sealed plaintext. */
#include "keyfile/binding.h"

#include <stdio.h>
#include <string.h>

#include "base/core/bytes.h"
#include "base/core/clock.h"
#include "base/core/mem.h"
#include "keyfile/pkey.h"

#define HEAD_MAX   1024
#define PEM_HEAD   "-----BEGIN PRIVATE KEY-----\n"
#define EXPORTABLE "exportable: yes\n"

/* A control character would make a second line out of one value. */
static bool one_line(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    }
    return true;
}

static int fill(struct kf_binding *ret, const char *type, const char *name, const char *key,
                const char *value, struct cm_err *err)
{
    *ret = (struct kf_binding){.key = key};
    int a = snprintf(ret->document, sizeof(ret->document), "%s:%s", type, name);
    int b = snprintf(ret->value, sizeof(ret->value), "%s", value);
    if (!name[0] || a < 0 || a >= KF_BOUND_VALUE_MAX || b < 1 || b >= KF_BOUND_VALUE_MAX ||
        !one_line(ret->document) || !one_line(ret->value))
        return cm_fail(err, CM_EMALF, "%s name or %s cannot stand in a sealed text", type, key);
    return 0;
}

int kf_bind_credential(struct kf_binding *ret, const char *ulid, int64_t generation,
                       struct cm_err *err)
{
    char number[32];
    if (!cm_ulid_ok(ulid))
        return cm_fail(err, CM_EMALF, "\"%.40s\" is not the ULID of a credential", ulid);
    if (generation < 1)
        return cm_fail(err, CM_EMALF, "key generation %lld is not positive", (long long)generation);
    snprintf(number, sizeof(number), "%lld", (long long)generation);
    return fill(ret, "credential", ulid, "generation", number, err);
}

int kf_bind_account(struct kf_binding *ret, const char *account, const char *origin,
                    struct cm_err *err)
{
    return fill(ret, "account", account, "directory", origin, err);
}

int kf_bound_write(const struct kf_binding *binding, const EVP_PKEY *key, int64_t now_ms,
                   struct kf_secret *ret, struct cm_err *err)
{
    char spki[CM_SHA256_HEX], when[CM_TIME_TEXT], head[HEAD_MAX];
    KF_AUTO_SECRET pem = {0};
    *ret = (struct kf_secret){0};
    int rc = kf_spki_hex(key, spki, err);
    if (rc == 0)
        rc = kf_pkey_to_pem(key, &pem, err);
    if (rc < 0)
        return rc;
    CM_BUG_ON(!pem.data);
    cm_time_format(now_ms, when);
    int len = snprintf(head, sizeof(head),
                       "document: %s\n%s: %s\npublic-key-sha256: %s\ncreated: %s\n%s\n",
                       binding->document, binding->key, binding->value, spki, when,
                       binding->exportable ? EXPORTABLE : "");
    if (len < 0 || len >= HEAD_MAX)
        return cm_fail(err, CM_ELIMIT, "head of a sealed text is too long");
    rc = kf_secret_new((size_t)len + pem.len, ret, err);
    if (rc == 0) {
        memcpy(ret->data, head, (size_t)len);
        memcpy(ret->data + len, pem.data, pem.len);
    }
    return rc;
}

/* Takes "key: value\n" from *at; the value goes to out.  False when another line stands there. */
static bool take_line(const char **at, const char *key, char *out, size_t size)
{
    size_t key_len = strlen(key);
    const char *end = strchr(*at, '\n');
    if (!end || strncmp(*at, key, key_len) != 0 || strncmp(*at + key_len, ": ", 2) != 0)
        return false;
    const char *value = *at + key_len + 2;
    if (end < value || (size_t)(end - value) >= size)
        return false;
    memcpy(out, value, (size_t)(end - value));
    out[end - value] = '\0';
    *at = end + 1;
    return true;
}

int kf_bound_read(const struct kf_secret *text, const struct kf_binding *binding, EVP_PKEY **ret,
                  char spki_hex[65], struct cm_err *err)
{
    char document[KF_BOUND_VALUE_MAX], value[KF_BOUND_VALUE_MAX];
    char named[CM_SHA256_HEX], when[CM_TIME_TEXT + 8];
    int64_t created;
    const char *at = text->data;
    *ret = NULL;
    if (strlen(text->data) != text->len || !take_line(&at, "document", document, sizeof(document)))
        return cm_fail(err, CM_EMALF, "sealed text does not begin with a document line");
    if (strcmp(document, binding->document) != 0)
        return cm_fail(err, CM_EDENIED, "sealed key is bound to %.160s, not to %.160s", document,
                       binding->document);
    if (!take_line(&at, binding->key, value, sizeof(value)))
        return cm_fail(err, CM_EMALF, "sealed text has no %s line", binding->key);
    if (strcmp(value, binding->value) != 0)
        return cm_fail(err, CM_EDENIED, "sealed key is bound to %s %.160s, not to %.160s",
                       binding->key, value, binding->value);
    if (!take_line(&at, "public-key-sha256", named, sizeof(named)) ||
        !take_line(&at, "created", when, sizeof(when)) || cm_time_parse(when, &created) < 0)
        return cm_fail(err, CM_EMALF, "sealed text has malformed head lines");
    if (strncmp(at, EXPORTABLE, strlen(EXPORTABLE)) == 0)
        at += strlen(EXPORTABLE);
    if (*at != '\n' || strncmp(at + 1, PEM_HEAD, strlen(PEM_HEAD)) != 0)
        return cm_fail(err, CM_EMALF, "sealed text has malformed head lines");
    at++;
    EVP_PKEY *key = NULL;
    int rc = kf_pkey_from_pem(at, text->len - (size_t)(at - text->data), &key, err);
    if (rc == 0)
        rc = kf_spki_hex(key, spki_hex, err);
    if (rc == 0 && strcmp(spki_hex, named) != 0)
        rc = cm_fail(err, CM_EDENIED, "sealed key is not the one its head names");
    if (rc < 0)
        EVP_PKEY_free(key);
    else
        *ret = key;
    return rc;
}

/* Values hold no line ends, so that no other line can be taken for it. */
bool kf_bound_exportable(const struct kf_secret *text)
{
    const char *mark = strstr(text->data, "\n" EXPORTABLE "\n" PEM_HEAD);
    const char *end = strstr(text->data, "\n\n");
    return mark && end && mark < end;
}

/* What a secret can be for.  Nothing else is ever opened by its purpose. */
static const char *const purposes[] = {"dns", "eab", "notify", "oidc", "upstream"};

static bool purpose_ok(const char *purpose)
{
    for (size_t i = 0; i < sizeof(purposes) / sizeof(purposes[0]); i++) {
        if (strcmp(purpose, purposes[i]) == 0)
            return true;
    }
    return false;
}

int kf_bind_text(struct kf_text *ret, const char *purpose, const char *name, bool managers,
                 struct cm_err *err)
{
    struct kf_binding binding;
    if (!purpose_ok(purpose))
        return cm_fail(err, CM_EDENIED, "\"%.40s\" is not a purpose of secrets", purpose);
    int rc = fill(&binding, "secret", purpose, "name", name, err);
    if (rc < 0)
        return rc;
    *ret = (struct kf_text){.managers = managers};
    memcpy(ret->document, binding.document, sizeof(ret->document));
    memcpy(ret->name, binding.value, sizeof(ret->name));
    return 0;
}

int kf_text_write(const struct kf_text *head, const char *value, int64_t now_ms,
                  struct kf_secret *ret, struct cm_err *err)
{
    char when[CM_TIME_TEXT], lines[HEAD_MAX];
    size_t value_len = strlen(value);
    *ret = (struct kf_secret){0};
    if (value_len > KF_TEXT_MAX)
        return cm_fail(err, CM_ELIMIT, "a secret has at most %u bytes", KF_TEXT_MAX);
    cm_time_format(now_ms, when);
    int len = snprintf(lines, sizeof(lines), "document: %s\nname: %s\nfor: %s\ncreated: %s\n\n",
                       head->document, head->name, head->managers ? "managers" : "self", when);
    if (len < 0 || len >= HEAD_MAX)
        return cm_fail(err, CM_ELIMIT, "head of a sealed text is too long");
    int rc = kf_secret_new((size_t)len + value_len, ret, err);
    if (rc == 0) {
        memcpy(ret->data, lines, (size_t)len);
        memcpy(ret->data + len, value, value_len);
    }
    return rc;
}

int kf_text_read(const struct kf_secret *text, struct kf_text *head, const char **ret,
                 struct cm_err *err)
{
    char document[KF_BOUND_VALUE_MAX], name[KF_BOUND_VALUE_MAX];
    char whom[16], when[CM_TIME_TEXT + 8];
    int64_t created;
    const char *at = text->data;
    *ret = NULL;
    if (strlen(text->data) != text->len || !take_line(&at, "document", document, sizeof(document)))
        return cm_fail(err, CM_EMALF, "sealed text does not begin with a document line");
    if (strcmp(document, head->document) != 0)
        return cm_fail(err, CM_EDENIED, "sealed text is bound to %.160s, not to %.160s", document,
                       head->document);
    if (!take_line(&at, "name", name, sizeof(name)))
        return cm_fail(err, CM_EMALF, "sealed text has no name line");
    if (strcmp(name, head->name) != 0)
        return cm_fail(err, CM_EDENIED, "sealed text is bound to name %.160s, not to %.160s", name,
                       head->name);
    if (!take_line(&at, "for", whom, sizeof(whom)) ||
        (strcmp(whom, "managers") != 0 && strcmp(whom, "self") != 0) ||
        !take_line(&at, "created", when, sizeof(when)) || cm_time_parse(when, &created) < 0 ||
        *at != '\n')
        return cm_fail(err, CM_EMALF, "sealed text has malformed head lines");
    head->managers = strcmp(whom, "managers") == 0;
    *ret = at + 1;
    return 0;
}

int kf_bound_to_managers(const struct kf_secret *text, struct cm_err *err)
{
    char document[KF_BOUND_VALUE_MAX], name[KF_BOUND_VALUE_MAX], whom[16];
    const char *at = text->data;
    if (strlen(text->data) != text->len || !take_line(&at, "document", document, sizeof(document)))
        return cm_fail(err, CM_EMALF, "sealed text does not begin with a document line");
    if (strncmp(document, "account:", 8) == 0)
        return 0;
    if (strncmp(document, "secret:", 7) == 0 && take_line(&at, "name", name, sizeof(name)) &&
        take_line(&at, "for", whom, sizeof(whom)) && strcmp(whom, "managers") == 0)
        return 0;
    return cm_fail(err, CM_EDENIED, "%.160s is no secret of managers", document);
}
