/* Inside the page of one ACME account: what its form (account_form.c) and the cards around that
 * (account_acts.c) share. */
#pragma once

#include "base/core/buf.h"
#include "web-ui/pages/account_form.h"
#include "web-ui/presets.h"
#include "web-ui/text.h"

struct account_draw {
    struct web_ctx *ctx;
    struct cm_buf *page;
    const struct account_form *form;
    const struct acme_preset *preset;
    struct cm_buf value; /* of the field at hand */
};

struct account_row {
    const char *name, *type;
    enum web_msg label, hint;
    unsigned rows;
    bool required;
};

/* A field with what stands in it: as posted, of the account, of the preset, or a default. */
void account_field(struct account_draw *draw, const struct account_row *row);
/* With what the HMAC key of a binding signs. */
void account_alg_field(struct account_draw *draw);

/* The CA's new terms, when they wait for somebody to agree. */
void account_new_terms(struct account_draw *draw);
/* Another binding, what its CA can be asked, the export of its key, its end. */
void account_acts(struct account_draw *draw);
