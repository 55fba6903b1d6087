/*
 * Host names as typed -> ASCII names a CA takes.
 *
 * libidn2 does IDNA2008 with the non-transitional mapping of UTS 46; it lets underscores, blanks,
 * leading dots and IP literals pass, so our own rule has the last word on the result.
 */
#include "base/net/hostname.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/core/utf8.h"

#define IDN_FLAGS    (IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL)
#define TYPED_MAX    1024 /* bytes of one typed name: 253 characters of at most four bytes */
#define NAME_MAX_LEN 253
#define LABEL_MAX    63

bool hostname_is_ip(const char *text)
{
    struct in6_addr address;
    return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

/* Canonical text of an IP literal, IPv6 also in brackets. */
static bool ip_to_ascii(const char *text, char out[HOSTNAME_MAX])
{
    char inner[INET6_ADDRSTRLEN];
    size_t len = strlen(text);
    bool brackets = len > 2 && text[0] == '[' && text[len - 1] == ']';
    if (brackets) {
        text++;
        len -= 2;
    }
    if (len >= sizeof(inner))
        return false;
    memcpy(inner, text, len);
    inner[len] = '\0';
    struct in6_addr address;
    if (inet_pton(AF_INET6, inner, &address) == 1)
        return inet_ntop(AF_INET6, &address, out, HOSTNAME_MAX) != NULL;
    if (!brackets && inet_pton(AF_INET, inner, &address) == 1)
        return inet_ntop(AF_INET, &address, out, HOSTNAME_MAX) != NULL;
    return false;
}

/* Length of the label separator at text (UTS 46: full stop and three look-alikes), or 0. */
static size_t dot_len(const char *text)
{
    static const char *const dots[] = {".", "\u3002", "\uff0e", "\uff61"};
    for (size_t i = 0; i < sizeof(dots) / sizeof(dots[0]); i++) {
        if (strncmp(text, dots[i], strlen(dots[i])) == 0)
            return strlen(dots[i]);
    }
    return 0;
}

static const char *idn_reason(int rc)
{
    switch (rc) {
    case IDN2_DISALLOWED:
    case IDN2_UNASSIGNED:
    case IDN2_CONTEXTJ: /* joiners and the like, outside the words that need them */
    case IDN2_CONTEXTO:
    case IDN2_CONTEXTJ_NO_RULE:
    case IDN2_CONTEXTO_NO_RULE:
    case IDN2_INVALID_NONTRANSITIONAL:
        return "it contains a character that is not allowed in host names";
    case IDN2_TOO_BIG_LABEL:
        return "a part between two dots is longer than 63 characters";
    case IDN2_TOO_BIG_DOMAIN:
        return "it is longer than 253 characters";
    case IDN2_HYPHEN_STARTEND:
        return "a part between two dots begins or ends with a hyphen";
    case IDN2_2HYPHEN:
        return "a part between two dots has hyphens at its third and fourth place, which only "
               "encoded names (xn--) may have";
    case IDN2_BIDI:
        return "it mixes writing directions in a way that is not allowed";
    case IDN2_LEADING_COMBINING:
        return "a part between two dots begins with a combining mark";
    case IDN2_PUNYCODE_BAD_INPUT:
    case IDN2_ALABEL_ROUNDTRIP_FAILED:
        return "a part that begins with xn-- is not a valid encoded name";
    default:
        return idn2_strerror(rc);
    }
}

/* One label of the converted name; NULL when it is right, else what is wrong with it. */
static const char *label_fault(const char *label, size_t len)
{
    if (len == 0)
        return "it has an empty part between two dots";
    if (len > LABEL_MAX)
        return "a part between two dots is longer than 63 characters";
    if (label[0] == '-' || label[len - 1] == '-')
        return "a part between two dots begins or ends with a hyphen";
    for (size_t i = 0; i < len; i++) {
        char c = label[i];
        if (c == '*')
            return "an asterisk may only stand alone as the first part (*.example.com)";
        if (c == '_')
            return "it contains an underscore; certificates allow letters, digits and hyphens only";
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-')
            return "it contains a character other than letters, digits, hyphens and dots";
    }
    return NULL;
}

static const char *name_fault(const char *name)
{
    unsigned labels = 0;
    if (strlen(name) > NAME_MAX_LEN)
        return "it is longer than 253 characters";
    for (;;) {
        size_t len = strcspn(name, ".");
        const char *fault = label_fault(name, len);
        if (fault)
            return fault;
        labels++;
        if (name[len] == '\0') {
            if (strspn(name, "0123456789") == len)
                return "its last part is a number: an IP address must be written in full";
            break;
        }
        name += len + 1;
    }
    return labels < 2 ? "it has only one part; a public name needs a domain (www.example.com)"
                      : NULL;
}

/* Blanks at both ends come from copying and pasting; they never belong to the name. */
static char *trimmed(const char *typed)
{
    typed += strspn(typed, " \t\r\n");
    size_t len = strlen(typed);
    while (len > 0 && strchr(" \t\r\n", typed[len - 1]))
        len--;
    return cm_strndup(typed, len);
}

/* More than the host name, copied from an address bar or a mail; NULL: nothing of that. */
static const char *pasted_fault(const char *name)
{
    const char *colon = strchr(name, ':');
    if (strchr(name, '/'))
        return "it is a URL: enter the host name alone, without https:// and path";
    if (strchr(name, '@'))
        return "it is a mail address: enter the host name alone";
    if (colon && colon[1] != '\0' && colon[1 + strspn(colon + 1, "0123456789")] == '\0')
        return "it names a port: enter the host name alone";
    return NULL;
}

static int refuse(struct cm_err *err, const char *typed, const char *why)
{
    return cm_fail(err, CM_EINVAL, "host name \"%.253s\" cannot be used: %s", typed, why);
}

/* The part behind "*." (if any): IDNA, trailing dot off, lower case, our rule. */
static int dns_to_ascii(const char *typed, bool wildcard, char out[HOSTNAME_MAX],
                        struct cm_err *err)
{
    const char *rest = typed;
    if (wildcard)
        rest += 1 + dot_len(typed + 1);
    char *ascii = NULL;
    int rc = idn2_to_ascii_8z(rest, &ascii, IDN_FLAGS);
    if (rc != IDN2_OK)
        return refuse(err, typed, idn_reason(rc));
    char name[HOSTNAME_MAX + 2]; /* a trailing dot may go beyond the limit */
    size_t at = wildcard ? 2 : 0;
    memcpy(name, "*.", 2);
    int too_long = cm_strcpy(name + at, sizeof(name) - at, ascii);
    idn2_free(ascii);
    size_t len = strlen(name + at) + at;
    if (len > at && name[len - 1] == '.')
        name[--len] = '\0';
    for (size_t i = 0; i < len; i++) {
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] - 'A' + 'a');
    }
    if (too_long < 0 || len > NAME_MAX_LEN)
        return refuse(err, typed, "it is longer than 253 characters");
    const char *fault = name_fault(name + at);
    if (fault)
        return refuse(err, typed, fault);
    memcpy(out, name, len + 1);
    return 0;
}

int hostname_to_ascii(const char *typed, char out[HOSTNAME_MAX], enum hostname_kind *ret_kind,
                      struct cm_err *err)
{
    out[0] = '\0';
    CM_AUTO_STR name = trimmed(typed);
    size_t len = strlen(name);
    if (len == 0)
        return cm_fail(err, CM_EINVAL, "a host name is empty");
    if (len > TYPED_MAX)
        return refuse(err, name, "it is longer than 253 characters");
    if (!cm_utf8_ok(name, len))
        return refuse(err, name, "it is not valid UTF-8 text");
    enum hostname_kind kind = HOSTNAME_DNS;
    int rc = 0;
    const char *pasted = pasted_fault(name);
    if (ip_to_ascii(name, out)) {
        kind = HOSTNAME_IP;
    } else if (pasted) {
        return refuse(err, name, pasted);
    } else {
        if (name[0] == '*' && dot_len(name + 1) > 0)
            kind = HOSTNAME_WILDCARD;
        rc = dns_to_ascii(name, kind == HOSTNAME_WILDCARD, out, err);
    }
    if (rc == 0 && ret_kind)
        *ret_kind = kind;
    return rc;
}

void hostname_to_unicode(const char *ascii, char *out, size_t size)
{
    const char *prefix = strncmp(ascii, "*.", 2) == 0 ? "*." : "";
    char *shown = NULL, *back = NULL;
    bool same = false;
    /* Shown only when it converts back to the same name: no look-alikes of our own making. */
    if (strlen(ascii) <= NAME_MAX_LEN &&
        idn2_to_unicode_8z8z(ascii + strlen(prefix), &shown, 0) == IDN2_OK &&
        idn2_to_ascii_8z(shown, &back, IDN_FLAGS) == IDN2_OK)
        same = strcmp(back, ascii + strlen(prefix)) == 0;
    if (!same || strlen(prefix) + strlen(shown) >= size) {
        if (cm_strcpy(out, size, ascii) < 0)
            cm_utf8_trim(out);
    } else {
        (void)cm_strcpy(out, size, prefix);
        (void)cm_strcpy(out + strlen(prefix), size - strlen(prefix), shown);
    }
    idn2_free(shown);
    idn2_free(back);
}
