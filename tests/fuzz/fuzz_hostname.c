/* Host names as typed: whatever comes out must follow our rule and convert to itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/core/mem.h"
#include "base/core/utf8.h"
#include "base/net/hostname.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rule(const char *name, enum hostname_kind kind)
{
    size_t label = 0, labels = 1;
    if (kind == HOSTNAME_WILDCARD) {
        CM_BUG_ON(strncmp(name, "*.", 2) != 0);
        name += 2;
    }
    CM_BUG_ON(strlen(name) > 253);
    for (const char *at = name; *at; at++) {
        bool letter = *at >= 'a' && *at <= 'z', digit = *at >= '0' && *at <= '9';
        CM_BUG_ON(!letter && !digit && *at != '-' && *at != '.');
        CM_BUG_ON(*at == '.' && (label == 0 || at[-1] == '-'));
        CM_BUG_ON(*at == '-' && label == 0);
        labels += *at == '.';
        label = *at == '.' ? 0 : label + 1;
        CM_BUG_ON(label > 63);
    }
    CM_BUG_ON(label == 0 || labels < 2 || name[strlen(name) - 1] == '-');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char ascii[HOSTNAME_MAX], again[HOSTNAME_MAX], shown[1024];
    enum hostname_kind kind, kind_again;
    struct cm_err err = CM_ERR_INIT;
    char *typed = cm_strndup((const char *)data, size);
    int rc = hostname_to_ascii(typed, ascii, &kind, &err);
    if (rc == 0) {
        CM_BUG_ON(hostname_is_ip(ascii) != (kind == HOSTNAME_IP));
        if (kind != HOSTNAME_IP)
            check_rule(ascii, kind);
        CM_BUG_ON(hostname_to_ascii(ascii, again, &kind_again, NULL) != 0);
        CM_BUG_ON(strcmp(ascii, again) != 0 || kind != kind_again);
        hostname_to_unicode(ascii, shown, sizeof(shown));
        CM_BUG_ON(!cm_utf8_ok(shown, strlen(shown)));
    } else {
        CM_BUG_ON(rc != CM_EINVAL || err.what[0] == '\0');
        CM_BUG_ON(!cm_utf8_ok(err.what, strlen(err.what)));
    }
    hostname_to_unicode(typed, shown, sizeof(shown)); /* takes anything */
    cm_err_fini(&err);
    cm_free(typed);
    return 0;
}
