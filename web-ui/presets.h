/* ACME directories that people pick by name: the one table behind form and API. */
#pragma once

#include "base/core/json.h"

struct web_preset {
    const char *name;  /* also the proposed account name */
    const char *title; /* the CA's own name */
    const char *directory;
    const char *terms; /* page with its terms of service */
    bool test;         /* its certificates are not trusted by browsers */
};
extern const struct web_preset web_presets[];
extern const size_t web_preset_count;
/* By name, or by directory URL; NULL = none. */
const struct web_preset *web_preset(const char *name);
const struct web_preset *web_preset_of(const char *directory);
/* [{name, title, directory, terms, test}] (owned). */
json_t *web_presets_json(void);
